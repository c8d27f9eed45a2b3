#include "ctl/model_place.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "store/blob_store.h"
#include "store/manifest.h"

namespace ggufd::ctl {
namespace {

bool is_there(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0;
}

bool is_url(const std::string& word) {
  return word.starts_with("hf:") || word.find("://") != std::string::npos;
}

// The blobs' files, in order; empty where one of them is missing.
std::vector<std::string> blob_paths(const store::BlobStore& store,
                                    const std::vector<store::Digest>& digests) {
  std::vector<std::string> paths;
  for (const store::Digest& digest : digests) {
    paths.push_back(store.blob_path(digest));
    if (!is_there(paths.back())) return {};
  }
  return paths;
}

std::vector<store::Digest> digests_of(const config::ModelConfig& model) {
  std::vector<store::Digest> digests;
  for (const std::string& hex : model.sha256) {
    if (const auto digest = store::Digest::parse(hex)) digests.push_back(*digest);
  }
  return digests;
}

// Network sources to `place.sources`; where the preferred one is a file, that.
void use_sources(ModelPlace& place, const std::vector<config::Source>& sources) {
  for (const config::Source& source : sources) {
    const auto* file = std::get_if<config::FileSource>(&source.where);
    if (file == nullptr) {
      place.sources.push_back(source);
    } else if (place.sources.empty() && (is_there(file->path) || sources.size() == 1)) {
      place.paths = {file->path};
      return;
    }
  }
}

Result<ModelPlace> find_url(const Context& context, const Configured& configured, const std::string& word) {
  auto source = config::parse_source(word, context.environment);
  if (!source) return fail(ErrorCode::bad_source, fmt::format("\"{}\" {}", word, source.error()));
  const bool allows_plain_http = configured.config && configured.config->fetch.allow_plain_http;
  if (source->is_plain_http_to_remote() && !allows_plain_http) {
    return fail(
        ErrorCode::bad_source,
        fmt::format("\"{}\" is plain http to another host, which only fetch.allow_plain_http allows", word));
  }
  ModelPlace place{.title = config::to_string(*source)};
  use_sources(place, {*source});
  return place;
}

std::string unknown_name(const std::string& word, const Configured& configured,
                         const store::BlobStore& store) {
  std::vector<std::string> names;
  if (configured.config) {
    for (const config::ModelConfig& model : configured.config->models) names.push_back(model.name);
  }
  const std::string known = names.empty() ? "" : fmt::format(" ({})", fmt::join(names, ", "));
  return fmt::format(
      "\"{}\" is no file, no URL, no configured model{} and no model of the store {}; ggufctl ls shows "
      "what is there",
      word, known, store.root());
}

Result<ModelPlace> find_name(Context& context, const Configured& configured, const std::string& word) {
  const auto store = open_store(context, configured);
  if (!store) return std::unexpected(store.error());
  ModelPlace place{.title = word};
  if (configured.config) {
    const auto& models = configured.config->models;
    const auto found = std::ranges::find(models, word, &config::ModelConfig::name);
    if (found != models.end()) place.model = *found;
  }
  if (place.model) place.paths = blob_paths(*store, digests_of(*place.model));
  // The configuration's digests are the model's; a manifest counts where it gives none.
  if (place.paths.empty() && (!place.model || place.model->sha256.empty()) && store::is_model_name(word)) {
    const auto manifest = store::read_manifest(store->root(), word);
    if (!manifest) return std::unexpected(manifest.error());
    if (*manifest) place.paths = blob_paths(*store, store::blobs_of(**manifest));
    if (*manifest && place.paths.empty() && !place.model) {
      return fail(ErrorCode::not_in_store,
                  fmt::format("the store {} has a manifest of {} and not its bytes; pull it again",
                              store->root(), word));
    }
  }
  if (!place.paths.empty()) return place;
  if (!place.model) return fail(ErrorCode::not_in_store, unknown_name(word, configured, *store));
  use_sources(place, place.model->sources);
  return place;
}

// Puts another number into the shard's name that ends before `end`.
void renumber(std::string& text, std::size_t end, unsigned number) {
  constexpr std::size_t behind_number = std::string_view("-of-00000.gguf").size();
  constexpr std::size_t digits = 5;
  text.replace(end - behind_number - digits, digits, fmt::format("{:05}", number));
}

}  // namespace

bool is_model_word(const std::string& word) {
  return !is_url(word) && word.find('/') == std::string::npos && !is_there(word);
}

Result<ModelPlace> find_model(Context& context, const Configured& configured, const std::string& word) {
  if (is_url(word)) return find_url(context, configured, word);
  if (is_model_word(word)) return find_name(context, configured, word);
  ModelPlace place{.title = word};
  place.paths = {word};
  return place;
}

std::optional<config::Source> shard_source(const config::Source& first, unsigned number) {
  const auto shard = config::parse_shard_name(first.file_name());
  if (!shard || shard->number != 1 || number > shard->count) return std::nullopt;
  config::Source source = first;
  if (auto* url = std::get_if<config::UrlSource>(&source.where)) {
    renumber(url->url, std::min(url->url.find('?'), url->url.size()), number);
  } else if (auto* hub = std::get_if<config::HuggingFaceSource>(&source.where)) {
    renumber(hub->path, hub->path.size(), number);
  } else {
    std::string& path = std::get<config::FileSource>(source.where).path;
    renumber(path, path.size(), number);
  }
  return source;
}

}  // namespace ggufd::ctl
