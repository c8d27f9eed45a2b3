#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>

#include "protocol/fields.h"
#include "store/file.h"
#include "store/foreign_store.h"
#include "store/foreign_walk.h"
#include "store/json_file.h"

namespace ggufd::store {
namespace {

constexpr std::string_view weights_media_type = "application/vnd.ollama.image.model";

struct Layer {
  std::string media_type;
  std::string digest;

  static void fields(auto& self, auto&& f) {
    f("mediaType", self.media_type, "what it is");
    f("digest", self.digest, "sha256: and 64 hex digits");
  }
};

struct ImageManifest {
  std::vector<Layer> layers;

  static void fields(auto& self, auto&& f) { f("layers", self.layers, "its parts"); }
};

// host/namespace/model/tag, as the manifest's path says.
struct ModelName {
  std::string host;
  std::string space;
  std::string model;
  std::string tag;

  // Without what every model of Ollama's own registry has in common.
  std::string repository() const {
    std::string text = host == "registry.ollama.ai" ? "" : host + "/";
    if (space != "library" || !text.empty()) text += space + "/";
    return text + model;
  }
};

std::optional<ModelName> parse_name(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    parts.emplace_back(part);
    path.remove_prefix(std::min(part.size() + 1, path.size()));
  }
  if (parts.size() != 4 || parts[3].starts_with('.')) return std::nullopt;
  return ModelName{parts[0], parts[1], parts[2], parts[3]};
}

Result<ImageManifest> read_image_manifest(const std::string& path) {
  const auto file = open_regular(path, O_RDONLY);
  if (!file) return std::unexpected(file.error());
  if (!*file) return fail(ErrorCode::io, fmt::format("reading {}: it has gone", path));
  const auto text = read_all((*file)->get(), json_file_max_bytes, path);
  if (!text) return std::unexpected(text.error());
  return parse_json_file<ImageManifest>(*text, path);
}

// The one layer that has the weights.
Result<Digest> weights_of(const std::string& path) {
  const auto manifest = read_image_manifest(path);
  if (!manifest) return std::unexpected(manifest.error());
  const auto is_weights = [](const Layer& layer) { return layer.media_type == weights_media_type; };
  const auto count = std::ranges::count_if(manifest->layers, is_weights);
  if (count != 1)
    return fail(ErrorCode::bad_source, fmt::format("{}: it has {} layers of weights, not one", path, count));
  const auto layer = std::ranges::find_if(manifest->layers, is_weights);
  // The digest becomes a path, so nothing but a digest will do.
  const auto digest = Digest::parse_prefixed(layer->digest);
  if (!digest)
    return fail(ErrorCode::bad_source,
                fmt::format("{}: \"{}\" is not sha256: and 64 hex digits", path, layer->digest));
  return *digest;
}

void add(const std::string& root, const std::string& relative, ForeignWalk& walk, ForeignListing& listing) {
  const auto name = parse_name(relative);
  if (!name) return;
  const std::string path = fmt::format("{}/manifests/{}", root, relative);
  const auto digest = weights_of(path);
  if (!digest) {
    walk.problem(digest.error().message);
    return;
  }
  const std::string blob = fmt::format("{}/blobs/sha256-{}", root, digest->to_hex());
  const auto size_bytes = regular_file_size(blob);
  if (!size_bytes) {
    walk.problem(fmt::format("{}: its weights, {}, are not there", path, blob));
    return;
  }
  const std::string repository = name->repository();
  listing.files.push_back(
      {.title = fmt::format("{}:{}", repository, name->tag),
       .file_name = fmt::format("{}{}.gguf", name->model, name->tag == "latest" ? "" : "-" + name->tag),
       .path = blob,
       .size_bytes = *size_bytes,
       .claimed = *digest,
       .source = {"ollama", repository, name->tag, "sha256-" + digest->to_hex()}});
}

}  // namespace

Result<ForeignListing> list_ollama(const std::string& root) {
  const std::string manifests = join(root, "manifests");
  if (auto checked = check_foreign_root(manifests); !checked) return std::unexpected(checked.error());
  ForeignListing listing;
  ForeignWalk walk(listing);
  walk.files(manifests, [&](const std::string& relative) { add(root, relative, walk, listing); });
  sort_by_title(listing);
  return listing;
}

}  // namespace ggufd::store
