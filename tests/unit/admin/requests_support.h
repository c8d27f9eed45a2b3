// A server whose models are real, small files, and a client that asks it.
#pragma once

#include "admin/requests.h"
#include "engine/launcher.h"
#include "support.h"
#include "tests/support/gguf_builder.h"

namespace ggufd::admin::test {

inline config::ModelConfig model_at(const std::string& path, std::string name) {
  config::ModelConfig model;
  model.name = std::move(name);
  model.sources = {config::Source{config::FileSource{path}}};
  model.load = config::Load::manual;
  model.n_ctx = 64;
  model.engine = config::EngineChoice::resident;
  return model;
}

// Models "a" and "b", the default one, of one file; "gone" has none.
struct Daemon {
  explicit Daemon(bool has_models = true)
      : services{loop, pulls, fetching.store, config_of(has_models), folder.file(""), log, memory, llama} {
    std::signal(SIGPIPE, SIG_IGN);
    spdlog::set_level(spdlog::level::off);
    REQUIRE(server.listen(folder.file("admin.sock"), requests).has_value());
    peer.emplace(folder.file("admin.sock"));
    file = services.config;
  }
  ~Daemon() { stop(); }

  config::Config config_of(bool has_models) const {
    config::Config config;
    config.memory_headroom_bytes = 0;
    if (!has_models) return config;
    const std::string path = folder.file("model.gguf");
    REQUIRE(ggufd::test::llama_model().write(path).has_value());
    config.models = {model_at(path, "a"), model_at(path, "b"), model_at(folder.file("gone.gguf"), "gone")};
    config.default_model = "b";
    return config;
  }

  // Ends all that is under way, as the daemon's own stop does, so that nothing outlives what it uses.
  void stop() {
    if (std::exchange(is_stopped, true)) return;
    models.unload_all([this] { server.close(10'000, [] {}); });
    peer.reset();
    loop.run();
  }
  bool until(const auto& reached) {
    const loop::test::Stopwatch watch;
    while (!reached()) {
      if (watch.elapsed_ms() > static_cast<std::int64_t>(loop::test::limit_ms)) return false;
      uv_run(loop.raw(), UV_RUN_NOWAIT);
    }
    return true;
  }
  // The answer's line to the request of that id.
  std::string answer_to(std::string_view id) {
    std::string found;
    REQUIRE(until([&] {
      peer->receive();
      for (const std::string& line : peer->lines()) {
        if (id_of(line) == id) found = line;
      }
      return !found.empty();
    }));
    return found;
  }
  std::string ask(std::string_view type, std::string_view fields = "") {
    const std::string id = std::to_string(++last_id);
    peer->ask(id, type, fields);
    return answer_to(id);
  }
  ModelState state_answered(std::string_view type, std::string_view fields = "") {
    return state_in(ask(type, fields));
  }
  static ModelState state_in(const std::string& line) {
    INFO(line);
    const Frame frame = frame_of(line);
    REQUIRE(std::holds_alternative<AnswerFrame>(frame));
    return decode_answer<answer::State>(std::get<AnswerFrame>(frame))->state;
  }
  // The statuses that a reader has seen of a model, phases aside.
  std::vector<StatusKind> statuses_of(std::string_view model) const {
    std::vector<StatusKind> kinds;
    for (const std::string& line : peer->lines()) {
      const auto event = event_of(line);
      if (event && event->model == model && kind_of(event->status) != StatusKind::loading_model) {
        kinds.push_back(kind_of(event->status));
      }
    }
    return kinds;
  }

  loop::test::TempFolder folder;
  loop::Loop loop;
  fetch::CurlLoop curl{loop};
  fetch::RateLimit rate_limit{loop};
  fetch::FetchServices fetching{loop,           curl, rate_limit, store::BlobStore(folder.file("store")),
                                {.retries = 0}, {}};
  fetch::Pulls pulls{fetching};
  StatusLog log{"b", [this] { server.published(); }};
  model::Admission memory{loop, services.config};
  engine::LlamaHost llama{loop, curl, engine::own_environment(), folder.file(""), std::nullopt};
  model::Services services;
  model::Models models{services};
  Server server{loop, {}, log};
  int drains = 0;
  Result<void> reloaded;                            // what a reload is told
  std::vector<std::optional<std::string>> reloads;  // what each was about
  config::Config file;                              // what one that is good finds there
  Requests requests{loop,
                    models,
                    server,
                    log,
                    services.config,
                    {.drain =
                         [this] {
                           ++drains;
                           log.publish(status::Draining{});
                         },
                     .reload =
                         [this](std::optional<std::string> model, model::Reload::Waiter waiter) {
                           reloads.push_back(std::move(model));
                           if (reloaded) models.apply(std::exchange(services.config, file));
                           waiter(reloaded);
                         }}};
  std::optional<Peer> peer;
  int last_id = 0;
  bool is_stopped = false;
};

using Kinds = std::vector<StatusKind>;

}  // namespace ggufd::admin::test
