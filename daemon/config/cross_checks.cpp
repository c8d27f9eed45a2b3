#include "config/cross_checks.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "config/address.h"
#include "config/quote.h"
#include "config/suggest.h"

namespace ggufd::config {

namespace {

class CrossChecker {
 public:
  CrossChecker(const Config& config, std::vector<Mistake>& mistakes) : config_(config), mistakes_(mistakes) {
    for (const Mistake& mistake : mistakes) pointers_.insert(mistake.json_pointer);
  }

  void run() {
    check_names();
    check_default_model();
    for (std::size_t i = 0; i < config_.models.size(); ++i) {
      const std::string pointer = fmt::format("/models/{}", i);
      if (!pointers_.contains(pointer)) check_model(config_.models[i], pointer);
    }
    check_endpoint();
    check_backoff();
    check_listening();
  }

 private:
  // No mistake so far at `pointer` or below it.
  bool is_clean(const std::string& pointer) const {
    if (pointers_.contains(pointer)) return false;
    const std::string below = pointer + "/";
    const auto next = pointers_.lower_bound(below);
    return next == pointers_.end() || !next->starts_with(below);
  }

  void mistake(std::string pointer, std::string message) {
    mistakes_.push_back({std::move(pointer), std::move(message)});
  }

  void check_names() {
    std::map<std::string_view, std::size_t> first_with;
    for (std::size_t i = 0; i < config_.models.size(); ++i) {
      const std::string& name = config_.models[i].name;
      if (name.empty()) continue;
      const auto [first, is_new] = first_with.emplace(name, i);
      if (is_new) continue;
      mistake(
          fmt::format("/models/{}/name", i),
          fmt::format("{} is the name of /models/{} already; names must differ", quote(name), first->second));
    }
  }

  void check_default_model() {
    if (config_.default_model.empty() || pointers_.contains("/models") || !is_clean("/default_model")) return;
    std::vector<std::string_view> names;
    for (const ModelConfig& model : config_.models) {
      if (model.name == config_.default_model || model.name.empty()) return;
      names.push_back(model.name);
    }
    const auto near = nearest(config_.default_model, names);
    mistake("/default_model",
            fmt::format("must be the name of one of the models, {} is none{}", quote(config_.default_model),
                        near ? fmt::format("; did you mean {}?", quote(*near)) : std::string()));
  }

  void check_model(const ModelConfig& model, const std::string& pointer) {
    check_plain_http(model, pointer);
    check_digests(model, pointer);
    check_mirrors(model, pointer);
    const bool is_split_up = !model.kv_unified && model.n_ctx != 0 && model.n_ctx < model.n_seq;
    if (is_split_up && is_clean(pointer + "/n_ctx") && is_clean(pointer + "/n_seq")) {
      mistake(pointer + "/n_ctx",
              fmt::format("must be 0 or at least n_seq ({}) where kv_unified is false", model.n_seq));
    }
  }

  void check_plain_http(const ModelConfig& model, const std::string& pointer) {
    if (config_.fetch.allow_plain_http || !is_clean("/fetch/allow_plain_http")) return;
    for (const auto& [source, source_pointer] : sources_of(model, pointer)) {
      if (!source->is_plain_http_to_remote()) continue;
      mistake(source_pointer,
              "must be https://: http:// is for loopback hosts only, unless fetch.allow_plain_http is true");
    }
  }

  void check_digests(const ModelConfig& model, const std::string& pointer) {
    if (!is_clean(pointer + "/sha256") || !is_clean(pointer + "/pin")) return;
    const bool needs_digest = model.pin == Pin::required && model.sha256.empty();
    for (const auto& [source, source_pointer] : sources_of(model, pointer)) {
      if (!is_clean(source_pointer)) continue;
      if (needs_digest && source->is_network()) {
        return mistake(
            pointer + "/sha256",
            "the key \"sha256\" is missing: a network source needs it; give the file's digest, or set pin to "
            "\"first-use\" to take the first one that is seen");
      }
      if (!check_shards(*source, source_pointer, model, pointer)) return;
    }
  }

  // False once a mistake was found: the other mirrors would repeat it.
  bool check_shards(const Source& source, const std::string& source_pointer, const ModelConfig& model,
                    const std::string& pointer) {
    const auto shard = parse_shard_name(source.file_name());
    if (shard && shard->number != 1) {
      mistake(source_pointer,
              fmt::format("must name the first shard, \"…-00001-of-{:05}.gguf\", not number {}", shard->count,
                          shard->number));
      return false;
    }
    const std::size_t digests = shard_count(source);
    // A mirror that stands for other files is one mistake, and that is told of it.
    if (digests != expected_files(model, pointer)) return true;
    if (model.sha256.empty() || model.sha256.size() == digests) return true;
    mistake(pointer + "/sha256",
            shard ? fmt::format("must have one digest a shard, {}, not {}", digests, model.sha256.size())
                  : fmt::format("must be one digest, not {}: {} is not the name of a shard",
                                model.sha256.size(), quote(source.file_name())));
    return false;
  }

  // Mirrors have the same files. One that names another shard than the first says nothing about that.
  void check_mirrors(const ModelConfig& model, const std::string& pointer) {
    const std::size_t expected = expected_files(model, pointer);
    for (const auto& [source, source_pointer] : sources_of(model, pointer)) {
      const auto shard = parse_shard_name(source->file_name());
      const std::size_t files = shard_count(*source);
      if (files == expected || (shard && shard->number != 1) || !is_clean(source_pointer)) continue;
      mistake(source_pointer, fmt::format("must stand for as many files as the first one, {}, not for {}: "
                                          "mirrors have the same ones",
                                          expected, files));
    }
  }

  // What the first source that is no mistake stands for.
  std::size_t expected_files(const ModelConfig& model, const std::string& pointer) const {
    for (const auto& [source, source_pointer] : sources_of(model, pointer)) {
      if (is_clean(source_pointer)) return shard_count(*source);
    }
    return 1;
  }

  // 1 for a file that is no shard.
  static std::size_t shard_count(const Source& source) {
    const auto shard = parse_shard_name(source.file_name());
    return shard ? shard->count : 1;
  }

  struct PlacedSource {
    const Source* source;
    std::string pointer;
  };
  // One source may stand alone; its pointer is then the key's own, which is right for a list of one as well.
  static std::vector<PlacedSource> sources_of(const ModelConfig& model, const std::string& pointer) {
    std::vector<PlacedSource> placed;
    const bool is_list = model.sources.size() > 1;
    for (std::size_t i = 0; i < model.sources.size(); ++i) {
      placed.push_back({&model.sources[i], is_list ? fmt::format("{}/source/{}", pointer, i)
                                                   : fmt::format("{}/source", pointer)});
    }
    return placed;
  }

  void check_endpoint() {
    const std::string& endpoint = config_.fetch.hf_endpoint;
    if (endpoint.empty() || !is_clean("/fetch/hf_endpoint") || !is_clean("/fetch/allow_plain_http")) return;
    const auto checked = check_url(endpoint);
    if (!checked || checked->scheme == "https" || checked->address.is_loopback ||
        config_.fetch.allow_plain_http)
      return;
    mistake("/fetch/hf_endpoint",
            "must be https://: http:// is for loopback hosts only, unless fetch.allow_plain_http is true");
  }

  void check_backoff() {
    const LlamaServerConfig& server = config_.llama_server;
    if (server.backoff_initial_ms <= server.backoff_max_ms) return;
    if (!is_clean("/llama_server/backoff_initial_ms") || !is_clean("/llama_server/backoff_max_ms")) return;
    mistake("/llama_server/backoff_max_ms", fmt::format("must be at least backoff_initial_ms ({}), not {}",
                                                        server.backoff_initial_ms, server.backoff_max_ms));
  }

  void check_listening() {
    if (config_.http.tcp.empty() || !is_clean("/http")) return;
    const auto address = parse_host_port(config_.http.tcp);
    if (!address || address->is_loopback || config_.http.allow_remote) return;
    mistake("/http/tcp",
            fmt::format("must be a loopback address such as 127.0.0.1, not {}: nothing asks who connects; "
                        "set http.allow_remote to true if the network may be trusted",
                        quote(address->host)));
  }

  const Config& config_;
  std::vector<Mistake>& mistakes_;
  std::set<std::string> pointers_;
};

}  // namespace

void check_across(const Config& config, std::vector<Mistake>& mistakes) {
  CrossChecker(config, mistakes).run();
}

}  // namespace ggufd::config
