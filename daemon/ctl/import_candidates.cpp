#include "ctl/import_candidates.h"

#include <fmt/core.h>
#include <stdlib.h>

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <utility>

#include "config/foreign_stores.h"
#include "config/source.h"
#include "ctl/human.h"
#include "store/file.h"
#include "store/foreign_walk.h"

namespace ggufd::ctl {
namespace {

constexpr std::string_view gguf_suffix = ".gguf";

std::string file_name_of(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

// "dir/w-00002-of-00003.gguf" -> "dir/w": what the shards of one file have in common, with their count.
struct ShardSet {
  std::string stem;
  unsigned count = 0;
  auto operator<=>(const ShardSet&) const = default;
};

constexpr std::size_t shard_suffix_bytes = std::string_view("-00001-of-00003.gguf").size();

std::string shard_file(const std::string& stem, unsigned number, unsigned count) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", stem, number, count);
}

Result<std::string> real_path_of(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), &::free);
  if (!real) {
    const Error error = system_error(fmt::format("opening {}", path), errno, ErrorCode::bad_source);
    return std::unexpected(error);
  }
  return std::string(real.get());
}

// One file, under the name that it was given by and with the bytes that this leads to.
Result<store::ForeignFile> local_file(const std::string& path) {
  const auto real = real_path_of(path);
  if (!real) return std::unexpected(real.error());
  const auto size_bytes = store::regular_file_size(*real);
  if (!size_bytes) return fail(ErrorCode::bad_source, fmt::format("{} is no regular file", path));
  return store::ForeignFile{.title = path,
                            .file_name = file_name_of(path),
                            .path = *real,
                            .size_bytes = *size_bytes,
                            .claimed = std::nullopt,
                            .source = {"file", "", "", *real}};
}

ImportCandidate candidate(std::vector<store::ForeignFile> files) {
  std::string title = files.front().title;
  std::string name = suggested_name(files.front().file_name);
  return {std::move(title), std::move(name), std::move(files)};
}

Result<store::ForeignListing> listing_of(const std::string& origin, const Context& context) {
  const std::string root = config::foreign_store_folder(origin, context.environment, context.uid);
  if (origin == "hf") return store::list_hugging_face(root);
  if (origin == "llama.cpp") return store::list_llama_cpp(root);
  return store::list_ollama(root);
}

}  // namespace

std::uint64_t ImportCandidate::size_bytes() const {
  return std::accumulate(files.begin(), files.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const auto& file) { return sum + file.size_bytes; });
}

std::string suggested_name(std::string_view file_name) {
  constexpr std::size_t name_max = 64;
  if (config::parse_shard_name(file_name)) {
    file_name.remove_suffix(shard_suffix_bytes);
  } else if (file_name.ends_with(gguf_suffix)) {
    file_name.remove_suffix(gguf_suffix.size());
  }
  std::string name(file_name.substr(0, name_max));
  for (char& c : name) {
    if (!store::is_model_name(std::string("x") + c)) c = '-';
  }
  name.erase(0, name.find_first_not_of('.'));
  return name.empty() ? "model" : name;
}

ImportCandidates group_shards(store::ForeignListing listing) {
  ImportCandidates found{.models = {}, .problems = std::move(listing.problems)};
  std::map<ShardSet, std::map<unsigned, store::ForeignFile>> sets;
  for (store::ForeignFile& file : listing.files) {
    const auto shard = config::parse_shard_name(file.file_name);
    if (!shard) {
      std::vector<store::ForeignFile> files;
      files.push_back(std::move(file));
      found.models.push_back(candidate(std::move(files)));
      continue;
    }
    ShardSet set{file.title.substr(0, file.title.size() - shard_suffix_bytes), shard->count};
    sets[std::move(set)].emplace(shard->number, std::move(file));
  }
  for (auto& [set, shards] : sets) {
    if (shards.size() != set.count) {
      found.problems.push_back(fmt::format("{}: only {} of {} shards are there", shards.begin()->second.title,
                                           shards.size(), set.count));
      continue;
    }
    std::vector<store::ForeignFile> files;
    for (auto& [number, file] : shards) files.push_back(std::move(file));
    found.models.push_back(candidate(std::move(files)));
  }
  std::ranges::sort(found.models, {}, &ImportCandidate::title);
  return found;
}

Result<ImportCandidate> candidate_of_file(const std::string& path) {
  const auto shard = config::parse_shard_name(file_name_of(path));
  std::vector<std::string> paths{path};
  if (shard) {
    const std::string stem = path.substr(0, path.size() - shard_suffix_bytes);
    paths.clear();
    for (unsigned number = 1; number <= shard->count; ++number)
      paths.push_back(shard_file(stem, number, shard->count));
  }
  std::vector<store::ForeignFile> files;
  for (const std::string& each : paths) {
    auto file = local_file(each);
    if (!file) return std::unexpected(file.error());
    files.push_back(std::move(*file));
  }
  return candidate(std::move(files));
}

bool is_origin(const std::string& text) {
  return text == "hf" || text == "ollama" || text == "llama.cpp";
}

Result<ImportCandidates> candidates_of(const std::string& origin, const Context& context) {
  auto listing = listing_of(origin, context);
  if (!listing) return std::unexpected(listing.error());
  return group_shards(std::move(*listing));
}

}  // namespace ggufd::ctl
