#include "model/model_files.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "store/manifest.h"

namespace ggufd::model {
namespace {

// Puts another number into the shard's name that ends before `end`.
void renumber(std::string& text, std::size_t end, unsigned number) {
  constexpr std::string_view behind_number = "-of-00000.gguf";
  constexpr std::size_t digits = 5;
  text.replace(end - behind_number.size() - digits, digits, fmt::format("{:05}", number));
}

config::Source shard_of(config::Source first, unsigned number) {
  if (auto* url = std::get_if<config::UrlSource>(&first.where)) {
    renumber(url->url, std::min(url->url.find('?'), url->url.size()), number);
  } else if (auto* hub = std::get_if<config::HuggingFaceSource>(&first.where)) {
    renumber(hub->path, hub->path.size(), number);
  } else {
    std::string& path = std::get<config::FileSource>(first.where).path;
    renumber(path, path.size(), number);
  }
  return first;
}

// 1 for a file that is no shard.
Result<unsigned> file_count(const config::ModelConfig& model) {
  std::optional<unsigned> count;
  for (const config::Source& source : model.sources) {
    const auto shard = config::parse_shard_name(source.file_name());
    if (shard && shard->number != 1) {
      return fail(ErrorCode::bad_source,
                  fmt::format("{} is number {} of {} shards; the source of {} must name the first",
                              config::to_string(source), shard->number, shard->count, model.name));
    }
    const unsigned files = shard ? shard->count : 1;
    if (count.value_or(files) != files) {
      return fail(
          ErrorCode::bad_source,
          fmt::format("{} stands for {} files and {} for {}; mirrors must have the same ones",
                      config::to_string(model.sources.front()), *count, config::to_string(source), files));
    }
    count = files;
  }
  return count.value_or(1);
}

// The digests that the files must have, one each; empty where none is known yet.
Result<std::vector<store::Digest>> expected_digests(const store::BlobStore& store,
                                                    const config::ModelConfig& model, unsigned files) {
  std::vector<store::Digest> digests;
  for (const std::string& hex : model.sha256) {
    if (const auto digest = store::Digest::parse(hex)) digests.push_back(*digest);
  }
  if (!model.sha256.empty()) {
    if (digests.size() == files) return digests;
    return fail(ErrorCode::bad_source,
                fmt::format("{} has {} files and its sha256 {} digests; give one for each", model.name, files,
                            digests.size()));
  }
  if (!is_pinned_on_first_use(model)) return digests;
  const auto manifest = store::read_manifest(store.root(), model.name);
  if (!manifest) return std::unexpected(manifest.error());
  if (!*manifest) return digests;
  digests = store::blobs_of(**manifest);
  if (digests.size() == files) return digests;
  return fail(
      ErrorCode::sha256_mismatch,
      fmt::format("{} pins {} files of {} and its source stands for {}; `ggufctl rm {}` forgets the pin",
                  store.manifest_path(model.name), digests.size(), model.name, files, model.name));
}

}  // namespace

std::vector<config::Source> ModelFile::network_sources() const {
  std::vector<config::Source> found;
  std::ranges::copy_if(sources, std::back_inserter(found), &config::Source::is_network);
  return found;
}

bool is_pinned_on_first_use(const config::ModelConfig& model) {
  return model.pin == config::Pin::first_use && model.sha256.empty();
}

Result<std::vector<ModelFile>> model_files(const store::BlobStore& store, const config::ModelConfig& model) {
  const auto count = file_count(model);
  if (!count) return std::unexpected(count.error());
  const auto digests = expected_digests(store, model, *count);
  if (!digests) return std::unexpected(digests.error());
  std::vector<ModelFile> files(*count);
  for (unsigned i = 0; i < *count; ++i) {
    files[i].sources = model.sources;
    if (*count > 1) {
      for (config::Source& source : files[i].sources) source = shard_of(std::move(source), i + 1);
    }
    if (!digests->empty()) files[i].digest = (*digests)[i];
    files[i].is_digest_pinned = files[i].digest && model.sha256.empty();
  }
  return files;
}

}  // namespace ggufd::model
