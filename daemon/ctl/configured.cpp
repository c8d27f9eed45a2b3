#include "ctl/configured.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <utility>

#include "config/places.h"

namespace ggufd::ctl {
namespace {

bool is_named(const Context& context) {
  return context.options.config || context.environment("GGUFD_CONFIG");
}

bool is_there(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0;
}

std::string summary_of(const std::string& path, const std::vector<config::Mistake>& mistakes) {
  std::string text = fmt::format("the configuration {} cannot be read", path);
  if (!mistakes.empty()) text += ": " + config::to_string(mistakes.front());
  if (mistakes.size() > 1) text += fmt::format(" (and {} more)", mistakes.size() - 1);
  return text;
}

// "w-00002-of-00003.gguf" -> "w--of-00003.gguf": what all shards of a file have in common.
std::string without_shard_number(std::string text) {
  constexpr std::size_t digits = 5;
  const std::size_t end = text.rfind("-of-");
  const std::string file_name = text.substr(text.rfind('/') + 1);
  if (end == std::string::npos || end < digits || !config::parse_shard_name(file_name)) return text;
  return text.erase(end - digits, digits);
}

// The key of a partial whose digest is not known.
std::optional<store::Digest> key_of(const config::Source& source) {
  const auto key = store::sha256_of(config::to_string(source));
  return key ? std::optional(*key) : std::nullopt;
}

}  // namespace

Configured read_configured(const Context& context) {
  Configured configured;
  const auto place =
      config::find_config_file({.config = context.options.config}, context.environment, context.uid);
  if (!place) {
    if (is_named(context)) configured.why_unreadable = place.error().message;
    return configured;
  }
  configured.path = place->path;
  if (!is_named(context) && !is_there(place->path)) return configured;
  auto loaded = config::load_config(place->path, context.environment);
  if (loaded) {
    configured.config = std::move(*loaded);
  } else {
    configured.why_unreadable = summary_of(place->path, loaded.error());
  }
  return configured;
}

Result<store::BlobStore> open_store(Context& context, const Configured& configured) {
  if (!context.options.store && !configured.why_unreadable.empty())
    context.complain(configured.why_unreadable +
                     "; its models_home is not known, --store names another place");
  const std::string models_home = configured.config ? configured.config->models_home : "";
  const auto place = config::find_store_folder({.store = context.options.store}, models_home,
                                               context.environment, context.uid);
  if (!place) return std::unexpected(place.error());
  return store::BlobStore(place->path);
}

bool is_url_of(const config::Source& source, const std::string& url) {
  if (url.empty()) return false;
  const std::string common = without_shard_number(url);
  const auto* hub = std::get_if<config::HuggingFaceSource>(&source.where);
  if (!hub) return without_shard_number(config::to_string(source)) == common;
  if (config::to_string(source) == url) return true;
  // <endpoint>/<org>/<repo>/resolve/<revision>/<path>; which endpoint and which commit does not matter here.
  const std::size_t begin = url.find(fmt::format("/{}/{}/resolve/", hub->org, hub->repo));
  return begin != std::string::npos && common.ends_with(fmt::format("/{}", without_shard_number(hub->path)));
}

store::GarbageRules garbage_rules(const Configured& configured) {
  store::GarbageRules rules;
  rules.unknown_wants = configured.why_unreadable;
  rules.now = Timestamp::now();
  if (!configured.config) return rules;
  std::set<store::Digest> keys;
  std::vector<config::Source> sources;
  for (const config::ModelConfig& model : configured.config->models) {
    rules.wanted_models.insert(model.name);
    for (const std::string& hex : model.sha256) {
      if (const auto digest = store::Digest::parse(hex)) rules.wanted_blobs.insert(*digest);
    }
    for (const config::Source& source : model.sources) {
      if (const auto key = key_of(source)) keys.insert(*key);
      sources.push_back(source);
    }
  }
  rules.is_wanted_partial = [keys = std::move(keys),
                             sources = std::move(sources)](const store::ListedPartial& partial) {
    return keys.contains(partial.key) || std::ranges::any_of(sources, [&](const config::Source& source) {
             return is_url_of(source, partial.source_url);
           });
  };
  return rules;
}

}  // namespace ggufd::ctl
