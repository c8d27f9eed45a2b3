#include "store/manifest.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>

#include "store/folder.h"
#include "store/json_file.h"

namespace ggufd::store {
namespace {

Error bad_name(std::string_view name) {
  return {ErrorCode::bad_field,
          fmt::format("\"{}\" is no model name: 1 to 64 of A-Z a-z 0-9 . _ - and no dot in front", name)};
}

// RFC 3339 with or without a fraction: "2026-05-18T00:00:00Z", "2026-05-18T02:00:00.5+02:00".
bool is_moment(std::string_view text) {
  constexpr std::size_t to_the_second = 19;
  if (text.size() <= to_the_second || text.size() > 40) return false;
  const bool is_date = parse_timestamp(fmt::format("{}.000Z", text.substr(0, to_the_second))).has_value();
  return is_date && text.find_first_not_of("0123456789.:+-Z", to_the_second) == std::string_view::npos;
}

// A split GGUF's number of shards is a u16 in its header (`split.count`).
constexpr std::size_t shards_max = 65'535;

std::string defect_of_shards(const Manifest& manifest) {
  if (!manifest.shards) return "";
  const auto& shards = *manifest.shards;
  if (shards.empty() || shards.size() > shards_max)
    return fmt::format("it has {} shards, not 1 to {}", shards.size(), shards_max);
  const auto bad =
      std::ranges::find_if(shards, [](const std::string& shard) { return !Digest::parse_prefixed(shard); });
  if (bad != shards.end()) return fmt::format("the shard \"{}\" is not sha256: and 64 hex digits", *bad);
  if (Digest::parse_prefixed(shards.front()) != blob_of(manifest)) return "its blob is not its first shard";
  return "";
}

// What is wrong with it, as a clause; empty where nothing is.
std::string defect_of(const Manifest& manifest, std::string_view name) {
  if (manifest.schema_version != 1)
    return fmt::format("the schema_version {} is not known", manifest.schema_version);
  if (manifest.name != name) return fmt::format("it is for the model \"{}\"", manifest.name);
  if (manifest.format != "gguf") return fmt::format("the format \"{}\" is not known", manifest.format);
  if (!blob_of(manifest))
    return fmt::format("the blob \"{}\" is not sha256: and 64 hex digits", manifest.blob);
  if (const std::string defect = defect_of_shards(manifest); !defect.empty()) return defect;
  if (!is_moment(manifest.produced_at))
    return fmt::format("produced_at \"{}\" is no moment", manifest.produced_at);
  return "";
}

}  // namespace

bool is_model_name(std::string_view name) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= 64 && name.front() != '.' && std::ranges::all_of(name, is_allowed);
}

std::optional<Digest> blob_of(const Manifest& manifest) {
  return Digest::parse_prefixed(manifest.blob);
}

std::vector<Digest> blobs_of(const Manifest& manifest) {
  std::vector<Digest> blobs;
  for (const std::string& text : manifest.shards.value_or(std::vector{manifest.blob})) {
    const auto digest = Digest::parse_prefixed(text);
    if (!digest) return {};
    blobs.push_back(*digest);
  }
  return blobs;
}

Result<std::optional<Manifest>> read_manifest(const std::string& store_root, std::string_view name) {
  if (!is_model_name(name)) return std::unexpected(bad_name(name));
  const auto folder = open_store_folder(store_root, {"manifests"});
  if (!folder) return std::unexpected(folder.error());
  if (!*folder) return std::nullopt;
  const std::string file_name = fmt::format("{}.json", name);
  const std::string path = (*folder)->path_of(file_name);
  const auto file = open_regular_at((*folder)->fd.get(), file_name, O_RDONLY, 0, path);
  if (!file) return std::unexpected(file.error());
  if (!*file) return std::nullopt;
  const auto text = read_all((*file)->get(), json_file_max_bytes, path);
  if (!text) return std::unexpected(text.error());
  auto manifest = parse_json_file<Manifest>(*text, path);
  if (!manifest) return std::unexpected(manifest.error());
  if (const std::string defect = defect_of(*manifest, name); !defect.empty()) {
    return fail(ErrorCode::io, fmt::format("reading {}: {}; correct or remove it", path, defect));
  }
  return std::move(*manifest);
}

Result<void> write_manifest(const std::string& store_root, const Manifest& manifest) {
  if (!is_model_name(manifest.name)) return std::unexpected(bad_name(manifest.name));
  if (const std::string defect = defect_of(manifest, manifest.name); !defect.empty()) {
    return fail(ErrorCode::bad_field, fmt::format("writing the manifest of {}: {}", manifest.name, defect));
  }
  const auto folder = make_store_folder(store_root, {"manifests"});
  if (!folder) return std::unexpected(folder.error());
  return write_file_atomically_at(folder->fd.get(), folder->path, manifest.name + ".json",
                                  to_json(manifest) + "\n", 0644);
}

}  // namespace ggufd::store
