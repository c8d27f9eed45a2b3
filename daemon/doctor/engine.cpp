#include <fmt/core.h>

#include <algorithm>
#include <string>

#include "doctor/checks.h"
#include "doctor/group.h"

namespace ggufd::doctor {
namespace {

bool has_model_on(const config::Config& config, config::EngineChoice engine) {
  return std::ranges::any_of(config.models,
                             [&](const config::ModelConfig& model) { return model.engine == engine; });
}

std::string described(const FoundEngine& found) {
  const auto& build = found.build;
  return fmt::format("{}, {}", found.path, build.version.empty() ? "of an unknown version" : build.version);
}

}  // namespace

void check_engine(const Subject& subject, const config::Config& config, answer::Doctor& report) {
  Group group(report, "engine");
  const bool is_required = has_model_on(config, config::EngineChoice::llama_server);
  const bool is_wanted = is_required || has_model_on(config, config::EngineChoice::automatic);
  constexpr const char* name = "llama-server";
  if (!is_wanted) return group.skip(name, "no model runs on it");
  if (!subject.engine) return group.skip(name, "it was not asked");
  const auto& engine = *subject.engine;
  if (!engine && engine.error().code == ErrorCode::engine_not_found && !is_required) {
    return group.warn(
        name, "models of engine auto would be held ready and answer nothing: " + engine.error().message,
        "install llama-server, or name it in llama_server.binary");
  }
  if (!engine) {
    return group.fail(name, engine.error().message,
                      "install one that runs, or name it in llama_server.binary");
  }
  if (!engine->build.has_unix_sockets) {
    return group.warn(name,
                      described(*engine) +
                          ": it knows no Unix sockets, so every byte is relayed by way of a "
                          "loopback port, which others on this machine can reach",
                      "install a newer one; they are known since March 2025");
  }
  group.ok(name, described(*engine) + ", listens on Unix sockets");
}

}  // namespace ggufd::doctor
