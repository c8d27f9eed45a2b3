// The requests, asked on the socket of a server whose models are real, small files.
#include "admin/requests.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/launcher.h"
#include "support.h"
#include "tests/support/gguf_builder.h"

namespace ggufd::admin {
namespace {

using namespace test;

config::ModelConfig model_at(const std::string& path, std::string name) {
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

TEST_CASE("ping") {
  Daemon daemon;
  const Frame frame = frame_of(daemon.ask("ping"));
  const auto ping = decode_answer<answer::Ping>(std::get<AnswerFrame>(frame));
  CHECK(ping->version == GGUFD_VERSION);
  CHECK(ping->protocol == 1);
  CHECK(ping->pid == getpid());
}

TEST_CASE("status: every model in the configuration's order, or the one that is named") {
  Daemon daemon;
  const auto ask = [&daemon](std::string_view fields) {
    const Frame frame = frame_of(daemon.ask("status", fields));
    auto status = decode_answer<answer::Status>(std::get<AnswerFrame>(frame));
    REQUIRE(status.has_value());
    return std::move(*status);
  };
  daemon.log.publish(status::Starting{"1", 1});
  const auto all = ask("");
  REQUIRE(all.models.size() == 3);
  CHECK(all.models[0].name == "a");
  CHECK(all.models[1].name == "b");
  CHECK(all.models[2].name == "gone");
  CHECK(all.default_model == "b");
  CHECK(all.subscribers == 1);
  CHECK(all.seq == 1);
  CHECK(daemon.state_answered("load", ",\"model\":\"a\",\"wait\":true") == ModelState::ready);
  const auto one = ask(",\"model\":\"a\"");
  REQUIRE(one.models.size() == 1);
  CHECK(one.models[0].state == ModelState::ready);
  CHECK(one.models[0].status == StatusKind::ready);
  CHECK(one.models[0].load_count == 1);
  CHECK(one.models[0].memory.mapped > 0);
  CHECK(one.seq == daemon.log.seq());
  CHECK(error_of(daemon.ask("status", ",\"model\":\"x\"")) == ErrorCode::unknown_model);
}

TEST_CASE("load with `wait` is answered behind the event that it waits for") {
  Daemon daemon;
  const std::string line = daemon.ask("load", ",\"wait\":true");
  CHECK(Daemon::state_in(line) == ModelState::ready);
  const auto lines = daemon.peer->lines();
  REQUIRE(lines.size() > 2);
  CHECK(lines.back() == line);
  const auto before = event_of(lines[lines.size() - 2]);
  CHECK(kind_of(before->status) == StatusKind::ready);
  CHECK(before->model == "b");                                                  // the default model
  CHECK(daemon.state_answered("load", ",\"wait\":true") == ModelState::ready);  // is ready already
  CHECK(daemon.statuses_of("b") == Kinds{StatusKind::capabilities, StatusKind::ready});
}

TEST_CASE("load without `wait` is answered at once with the state it leads to") {
  Daemon daemon;
  CHECK(daemon.state_answered("load") == ModelState::ready);
  CHECK(daemon.statuses_of("b").empty());
  CHECK(daemon.state_answered("load", ",\"wait\":true") == ModelState::ready);  // the same load
  CHECK(daemon.statuses_of("b") == Kinds{StatusKind::capabilities, StatusKind::ready});
}

TEST_CASE("a load that fails tells all who wait, and may be asked for again") {
  Daemon daemon;
  daemon.peer->ask("x", "load", ",\"model\":\"gone\",\"wait\":true");
  daemon.peer->ask("y", "load", ",\"model\":\"gone\",\"wait\":true");
  const auto code = error_of(daemon.answer_to("x"));
  CHECK(code.has_value());
  CHECK(error_of(daemon.answer_to("y")) == code);
  CHECK(daemon.statuses_of("gone") == Kinds{StatusKind::error});
  CHECK(error_of(daemon.ask("load", ",\"model\":\"gone\",\"wait\":true")) == code);
  CHECK(daemon.state_answered("cancel", ",\"model\":\"gone\"") == ModelState::error);  // nothing to cancel
  CHECK(daemon.state_answered("unload", ",\"model\":\"gone\",\"wait\":true") == ModelState::uninitialized);
}

TEST_CASE("unload, with and without waiting") {
  Daemon daemon;
  CHECK(daemon.state_answered("unload", ",\"wait\":true") == ModelState::uninitialized);
  CHECK(daemon.statuses_of("b").empty());
  daemon.ask("load", ",\"wait\":true");
  CHECK(daemon.state_answered("unload") == ModelState::uninitialized);
  CHECK(daemon.state_answered("unload", ",\"wait\":true") == ModelState::uninitialized);
  CHECK(daemon.statuses_of("b") ==
        Kinds{StatusKind::capabilities, StatusKind::ready, StatusKind::unloading, StatusKind::unloaded});
}

TEST_CASE("load while it is being unloaded is busy") {
  Daemon daemon;
  daemon.ask("load", ",\"wait\":true");
  daemon.peer->send(
      "{\"id\":\"u\",\"type\":\"unload\"}\n"
      "{\"id\":\"l\",\"type\":\"load\"}\n"
      "{\"id\":\"w\",\"type\":\"load\",\"wait\":true}\n");
  CHECK(error_of(daemon.answer_to("l")) == ErrorCode::busy);
  CHECK(error_of(daemon.answer_to("w")) == ErrorCode::busy);
}

TEST_CASE("cancel ends a load, and its waiters are told") {
  Daemon daemon;
  daemon.peer->send(
      "{\"id\":\"l\",\"type\":\"load\",\"wait\":true}\n"
      "{\"id\":\"c\",\"type\":\"cancel\"}\n"
      "{\"id\":\"w\",\"type\":\"cancel\",\"wait\":true}\n"
      "{\"id\":\"n\",\"type\":\"cancel\"}\n");
  CHECK(error_of(daemon.answer_to("l")) == ErrorCode::cancelled);
  CHECK(Daemon::state_in(daemon.answer_to("c")) == ModelState::uninitialized);
  // Asked for while it is being cancelled: where that leads to, and when.
  CHECK(Daemon::state_in(daemon.answer_to("n")) == ModelState::uninitialized);
  CHECK(Daemon::state_in(daemon.answer_to("w")) == ModelState::uninitialized);
  CHECK(daemon.statuses_of("b") == Kinds{StatusKind::unloading, StatusKind::unloaded});
  CHECK(daemon.peer->bytes().find("\"reason\":\"cancelled\"") != std::string::npos);
}

TEST_CASE("cancel leaves alone what is not loading") {
  Daemon daemon;
  CHECK(daemon.state_answered("cancel", ",\"wait\":true") == ModelState::uninitialized);
  daemon.ask("load", ",\"wait\":true");
  CHECK(daemon.state_answered("cancel", ",\"wait\":true") == ModelState::ready);
  CHECK(daemon.statuses_of("b") == Kinds{StatusKind::capabilities, StatusKind::ready});
}

TEST_CASE("a model that is not configured is unknown") {
  Daemon daemon;
  for (const char* verb : {"load", "unload", "cancel"}) {
    CAPTURE(verb);
    CHECK(error_of(daemon.ask(verb, ",\"model\":\"x\"")) == ErrorCode::unknown_model);
    CHECK(error_of(daemon.ask(verb, ",\"model\":\"x\",\"wait\":true")) == ErrorCode::unknown_model);
  }
}

TEST_CASE("without any model there is no default one") {
  Daemon daemon(false);
  for (const char* verb : {"load", "unload", "cancel"}) {
    CHECK(error_of(daemon.ask(verb)) == ErrorCode::unknown_model);
  }
  const Frame frame = frame_of(daemon.ask("status"));
  CHECK(decode_answer<answer::Status>(std::get<AnswerFrame>(frame))->models.empty());
}

TEST_CASE("drain is answered before `draining`, and nothing is loaded any more") {
  Daemon daemon;
  daemon.peer->send(
      "{\"id\":\"d\",\"type\":\"drain\"}\n"
      "{\"id\":\"l\",\"type\":\"load\"}\n"
      "{\"id\":\"w\",\"type\":\"load\",\"wait\":true}\n");
  CHECK_FALSE(error_of(daemon.answer_to("d")).has_value());
  CHECK(error_of(daemon.answer_to("l")) == ErrorCode::busy);
  CHECK(error_of(daemon.answer_to("w")) == ErrorCode::busy);
  CHECK(daemon.drains == 1);
  const auto lines = daemon.peer->lines();
  REQUIRE(lines.size() == 4);
  CHECK(id_of(lines[0]) == "d");
  CHECK(kind_of(event_of(lines[1])->status) == StatusKind::draining);
  CHECK(daemon.models.default_model()->state() == ModelState::uninitialized);
}

answer::Blob blob_in(const std::string& line) {
  INFO(line);
  const Frame frame = frame_of(line);
  REQUIRE(std::holds_alternative<AnswerFrame>(frame));
  const auto blob = decode_answer<answer::Blob>(std::get<AnswerFrame>(frame));
  REQUIRE(blob.has_value());
  return *blob;
}

TEST_CASE("verify: the file's digest, size and path, whether the model is loaded or not") {
  Daemon daemon;
  const answer::Blob before = blob_in(daemon.ask("verify", ",\"model\":\"a\""));
  CHECK(before.path == daemon.folder.file("model.gguf"));
  CHECK(before.bytes == std::filesystem::file_size(before.path));
  daemon.ask("load", ",\"model\":\"a\",\"wait\":true");
  CHECK(blob_in(daemon.ask("verify", ",\"model\":\"a\"")) == before);
  CHECK(error_of(daemon.ask("verify", ",\"model\":\"gone\"")) == ErrorCode::bad_source);
  CHECK(error_of(daemon.ask("verify", ",\"model\":\"x\"")) == ErrorCode::unknown_model);
  CHECK(error_of(daemon.ask("verify")) == ErrorCode::missing_field);
}

TEST_CASE("pull: a source that cannot be reached, waited for or not") {
  Daemon daemon;
  // Nobody listens on port 1.
  const char* source = ",\"source\":\"http://127.0.0.1:1/m.gguf\",\"name\":\"n\"";
  CHECK(error_of(daemon.ask("pull", source)) == ErrorCode::network);
  const std::string begun = daemon.ask("pull", std::string(source) + ",\"wait\":false");
  CHECK_FALSE(error_of(begun).has_value());
  CHECK(begun.find("sha256") == std::string::npos);
  REQUIRE(daemon.until([&] { return !daemon.models.source_pulls().has("n"); }));
  REQUIRE(daemon.until([&] {
    daemon.peer->receive();
    return daemon.statuses_of("n").size() == 2;
  }));
  CHECK(daemon.statuses_of("n") == Kinds{StatusKind::error, StatusKind::error});
  CHECK(daemon.log.snapshot().find("\"n\"") == std::string::npos);
}

// Takes connections and says nothing.
struct SilentOrigin {
  SilentOrigin() {
    sockaddr_in address{
        .sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    socklen_t length = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(bind(fd, any, length) == 0);
    REQUIRE(listen(fd, 16) == 0);
    REQUIRE(getsockname(fd, any, &length) == 0);
    port = ntohs(address.sin_port);
  }
  SilentOrigin(const SilentOrigin&) = delete;
  SilentOrigin& operator=(const SilentOrigin&) = delete;
  ~SilentOrigin() { close(fd); }

  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int port = 0;
};

TEST_CASE("pull: of a source, it is cancelled and subscribed to by the name that the file gets") {
  Daemon daemon;
  const SilentOrigin silent;
  const std::string source =
      fmt::format(",\"source\":\"http://127.0.0.1:{}/m.gguf\",\"name\":\"n\"", silent.port);
  for (const char* wait : {"", ",\"wait\":true"}) {
    CHECK(error_of(daemon.ask("subscribe", ",\"models\":[\"n\"]")) == ErrorCode::unknown_model);
    CHECK(error_of(daemon.ask("cancel", ",\"model\":\"n\"")) == ErrorCode::unknown_model);
    const std::string pull_id = *wait == '\0' ? "first" : "second";
    daemon.peer->ask(pull_id, "pull", source);
    REQUIRE(daemon.until([&] { return daemon.models.source_pulls().has("n"); }));
    CHECK(daemon.log.snapshot().find("\"n\"") != std::string::npos);
    CHECK_FALSE(error_of(daemon.ask("subscribe", ",\"models\":[\"n\"]")).has_value());
    CHECK(daemon.state_answered("cancel", std::string(",\"model\":\"n\"") + wait) ==
          ModelState::uninitialized);
    REQUIRE(daemon.until([&] { return !daemon.models.source_pulls().has("n"); }));
    CHECK(error_of(daemon.answer_to(pull_id)) == ErrorCode::cancelled);
    CHECK(daemon.log.snapshot().find("\"n\"") == std::string::npos);
    daemon.ask("subscribe");
  }
  CHECK(daemon.statuses_of("n") == Kinds{StatusKind::unloaded, StatusKind::unloaded});
}

TEST_CASE("pull: what cannot be begun is refused, waited for or not") {
  Daemon daemon;
  for (const char* wait : {"", ",\"wait\":false"}) {
    const auto ask = [&](std::string fields) { return error_of(daemon.ask("pull", fields + wait)); };
    CHECK(ask("") == ErrorCode::missing_field);
    CHECK(ask(",\"model\":\"x\"") == ErrorCode::unknown_model);
    CHECK(ask(",\"model\":\"a\"") == ErrorCode::bad_field);  // used in place
    CHECK(ask(",\"source\":\"/m.gguf\",\"name\":\"n\"") == ErrorCode::bad_field);
  }
}

TEST_CASE("reload: the state of the model, or what is wrong with the file") {
  Daemon daemon;
  CHECK(daemon.state_answered("reload") == ModelState::uninitialized);
  CHECK(daemon.state_answered("reload", ",\"model\":\"a\"") == ModelState::uninitialized);
  CHECK(daemon.reloads == std::vector<std::optional<std::string>>{std::nullopt, "a"});
  CHECK(error_of(daemon.ask("reload", ",\"model\":\"../x\"")) == ErrorCode::unknown_model);
  CHECK(daemon.reloads.size() == 2);
  daemon.reloaded = fail(ErrorCode::bad_config, "it is bad");
  CHECK(error_of(daemon.ask("reload")) == ErrorCode::bad_config);
  CHECK(error_of(daemon.ask("reload", ",\"model\":\"a\",\"wait\":true")) == ErrorCode::bad_config);
  Daemon empty(false);
  CHECK_FALSE(error_of(empty.ask("reload")).has_value());
  CHECK_FALSE(error_of(empty.ask("reload", ",\"wait\":true")).has_value());
}

TEST_CASE("reload: at once the state that the change leads to, or the one that it has led to") {
  Daemon daemon;
  daemon.file.models[1].load = config::Load::boot;
  CHECK(daemon.state_answered("reload") == ModelState::ready);  // "b", the default model
  CHECK(daemon.statuses_of("b").empty());
  CHECK(daemon.state_answered("reload", ",\"wait\":true") == ModelState::ready);
  CHECK(daemon.statuses_of("b") == Kinds{StatusKind::capabilities, StatusKind::ready});
  daemon.file.models[1].n_ctx = 32;
  CHECK(daemon.state_answered("reload", ",\"model\":\"b\",\"wait\":true") == ModelState::ready);
  CHECK(daemon.statuses_of("b").back() == StatusKind::ready);
  CHECK(daemon.models.find("b")->status().load_count == 2);
  daemon.file.models[1].sources = daemon.file.models[2].sources;  // where there is no file
  CHECK(error_of(daemon.ask("reload", ",\"wait\":true")) == ErrorCode::bad_source);
  CHECK(daemon.models.find("b")->state() == ModelState::ready);
}

TEST_CASE("reload: who waits without a model waits for all that the file has changed") {
  Daemon daemon;
  daemon.file.models[0].load = config::Load::boot;  // "a", not the default one
  CHECK(daemon.state_answered("reload", ",\"wait\":true") == ModelState::uninitialized);  // "b", as ever
  CHECK(daemon.models.find("a")->state() == ModelState::ready);
  daemon.file.models[2].load = config::Load::boot;  // "gone", of which there is no file
  const std::string refused = daemon.ask("reload", ",\"wait\":true");
  CHECK(error_of(refused) == ErrorCode::bad_source);
  CHECK(std::get<ErrorFrame>(frame_of(refused)).error.message.starts_with("gone: "));
  // What was in error before is no fault of a reload that does not concern it.
  CHECK(daemon.state_answered("reload", ",\"wait\":true") == ModelState::uninitialized);
  daemon.file.models.erase(daemon.file.models.begin());
  CHECK(daemon.state_answered("reload", ",\"wait\":true") == ModelState::uninitialized);
  CHECK(daemon.models.statuses().size() == 2);
}

TEST_CASE("reload: a model that goes leads to uninitialized, and has gone when that is told to who waits") {
  for (const char* wait : {"", ",\"wait\":true"}) {
    Daemon daemon;
    daemon.ask("load", ",\"model\":\"a\",\"wait\":true");
    daemon.file.models.erase(daemon.file.models.begin());
    CHECK(daemon.state_answered("reload", std::string(",\"model\":\"a\"") + wait) ==
          ModelState::uninitialized);
    CHECK((daemon.statuses_of("a").back() == StatusKind::unloaded) == (*wait != '\0'));
    CHECK(error_of(daemon.ask("load", ",\"model\":\"a\"")) == ErrorCode::unknown_model);
    REQUIRE(daemon.until([&] { return daemon.models.statuses().size() == 2; }));
    CHECK(daemon.log.snapshot().find("\"a\"") == std::string::npos);
  }
}

TEST_CASE("while the daemon stops, nothing is begun") {
  Daemon daemon;
  daemon.ask("drain");
  CHECK(error_of(daemon.ask("reload")) == ErrorCode::busy);
  CHECK(error_of(daemon.ask("verify", ",\"model\":\"a\"")) == ErrorCode::busy);
  CHECK(error_of(daemon.ask("pull", ",\"source\":\"https://h/m\",\"name\":\"n\"")) == ErrorCode::busy);
  CHECK(daemon.reloads.empty());
}

TEST_CASE("a client that is gone before its load is done does not end it") {
  Daemon daemon;
  {
    Peer other(daemon.folder.file("admin.sock"));
    other.ask("1", "load", ",\"wait\":true");
  }
  CHECK(daemon.state_answered("load", ",\"wait\":true") == ModelState::ready);
  CHECK(daemon.server.subscribers() == 1);
}

}  // namespace
}  // namespace ggufd::admin
