#include "admin/pull_request.h"

#include <fmt/core.h>

#include <algorithm>

#include "config/rule.h"
#include "config/text_rules.h"

namespace ggufd::admin {
namespace {

// "source must be …"
std::unexpected<Error> bad(std::string_view field, std::string_view complaint) {
  return fail(ErrorCode::bad_field, fmt::format("{} {}", field, complaint));
}

std::unexpected<Error> missing(std::string_view field) {
  return fail(ErrorCode::missing_field,
              fmt::format("the field \"{}\" is missing: pull takes a model, or a source and a name", field));
}

Result<config::Source> check_source(const std::string& text, const config::Config& config,
                                    const config::Environment& environment) {
  auto source = config::parse_source(text, environment);
  if (!source) return bad("source", source.error());
  if (!source->is_network()) {
    return bad("source",
               "is a local file, which is used in place; `ggufctl import` copies one into the store");
  }
  if (source->is_plain_http_to_remote() && !config.fetch.allow_plain_http) {
    return bad("source",
               "must be https://: http:// is for loopback hosts only, unless fetch.allow_plain_http is true");
  }
  const auto shard = config::parse_shard_name(source->file_name());
  if (shard && shard->number != 1) {
    return bad("source", fmt::format("must name the first shard, \"…-00001-of-{:05}.gguf\", not number {}",
                                     shard->count, shard->number));
  }
  return std::move(*source);
}

// The normal form of the text; `bad_field` where it is not of that kind.
Result<std::string> check_as(config::TextKind kind, std::string_view field, std::string text,
                             const config::Environment& environment) {
  if (const auto complaint = config::check_text({.text = kind}, text, environment))
    return bad(field, *complaint);
  return text;
}

Result<config::ModelConfig> check_by_source(const request::Pull& request, const config::Config& config,
                                            const config::Environment& environment) {
  if (!request.source) return missing(request.name || request.sha256 ? "source" : "model");
  if (!request.name) return missing("name");
  auto source = check_source(*request.source, config, environment);
  if (!source) return std::unexpected(source.error());
  auto name = check_as(config::TextKind::model_name, "name", *request.name, environment);
  if (!name) return std::unexpected(name.error());
  if (std::ranges::find(config.models, *name, &config::ModelConfig::name) != config.models.end()) {
    return bad(
        "name",
        fmt::format("must not be a configured model's; to fetch that one, ask for the model {}", *name));
  }
  config::ModelConfig model{.name = std::move(*name), .sources = {std::move(*source)}};
  if (!request.sha256) {
    model.pin = config::Pin::first_use;
    return model;
  }
  const auto shard = config::parse_shard_name(model.sources.front().file_name());
  if (shard && shard->count > 1) {
    return bad("sha256",
               fmt::format("is one digest and the source has {} shards; leave it out, or configure the model",
                           shard->count));
  }
  auto digest = check_as(config::TextKind::sha256, "sha256", *request.sha256, environment);
  if (!digest) return std::unexpected(digest.error());
  model.sha256 = {std::move(*digest)};
  return model;
}

}  // namespace

Result<PullOrder> check_pull(const request::Pull& request, const config::Config& config,
                             const config::Environment& environment) {
  if (!request.model) {
    auto source = check_by_source(request, config, environment);
    if (!source) return std::unexpected(source.error());
    return PullOrder{std::nullopt, std::move(*source)};
  }
  if (request.source || request.sha256 || request.name) {
    return bad(request.source   ? "source"
               : request.sha256 ? "sha256"
                                : "name",
               "does not go with model: a configured model has its own");
  }
  const auto model = std::ranges::find(config.models, *request.model, &config::ModelConfig::name);
  const bool is_local =
      model != config.models.end() && std::ranges::none_of(model->sources, &config::Source::is_network);
  if (is_local) {
    return bad(
        "model",
        fmt::format("must have a source to fetch from: {} is used in place; `ggufctl verify {}` hashes it",
                    to_string(model->sources.front()), model->name));
  }
  return PullOrder{*request.model, {}};
}

}  // namespace ggufd::admin
