// A model whose engine is a process of its own: what the table says of `warming_up`, of an engine that has
// ended, and of one that is started again (tests/support/fake_llama_server.py).
#include <unistd.h>

#include <csignal>

#include "engine/launcher.h"
#include "model/model.h"
#include "reload_support.h"

namespace ggufd::model {
namespace {

using namespace test;

// The launcher is the binary that starts the child: here this test program.
[[gnu::constructor]] void be_the_launcher(int argc, char** argv) {
  if (const auto exit_code = engine::launch_if_asked(argc, argv)) _exit(*exit_code);
}

struct Engined {
  House house;
  std::unique_ptr<Model> model;

  explicit Engined(const std::string& mood, std::uint32_t restart_max = 3) {
    house.llama.environment.push_back("GGML_FAKE_MOOD=" + mood);
    house.llama.times.slots_interval_ms = 5;
    config::LlamaServerConfig& settings = house.services.config.llama_server;
    settings.binary = GGUFD_SOURCE_DIR "/tests/support/fake_llama_server.py";
    settings.health_interval_ms = 20;
    settings.backoff_initial_ms = 1;
    settings.restart_max = restart_max;
    settings.stop_grace_s = 1;
    model = std::make_unique<Model>(house.services, configured(256), true);
  }
  config::ModelConfig configured(std::uint32_t n_ctx) const {
    config::ModelConfig config = in_place(house.file(small_gguf()));
    config.engine = config::EngineChoice::llama_server;
    config.n_ctx = n_ctx;
    return config;
  }
  void until(ModelState state) {
    REQUIRE(run_until(house.loop, [&] { return model->state() == state; }));
  }
  void load_until(ModelState state) {
    model->load({});
    until(state);
  }
  void kill_engine() const {
    const auto pid = model->status().engine.pid;
    REQUIRE(pid.has_value());
    REQUIRE(kill(static_cast<pid_t>(*pid), SIGKILL) == 0);
  }
  std::size_t told(StatusKind kind) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        house.log.events, [&](const auto& event) { return kind_of(event.status) == kind; }));
  }
  // How often it was told that the engine has ended and that its next start is waited for. What that start
  // does may be told in the same turn.
  std::size_t told_back_offs() const {
    return static_cast<std::size_t>(std::ranges::count_if(house.log.events, [](const auto& event) {
      const auto* restarting = std::get_if<status::Restarting>(&event.status);
      return restarting != nullptr && !restarting->phase;
    }));
  }
  void unload() {
    const Waiting waiting;
    model->unload(UnloadReason::shutdown, waiting.waiter());
    REQUIRE(run_until(house.loop, [&] { return waiting.is_told(); }));
  }
};

constexpr const char* slow_warm_up = "busy=30";

TEST_CASE("warming up: a load joins, and a cancel and an unload end it") {
  for (const bool is_cancel : {true, false}) {
    Engined one(slow_warm_up);
    one.load_until(ModelState::warming_up);
    CHECK(one.model->status().availability.code == 30);
    CHECK(one.model->status().phase == PhaseKind::warm_up);
    const Waiting joined;
    const Waiting ended;
    one.model->load(joined.waiter());
    CHECK_FALSE(joined.is_told());
    if (is_cancel) one.model->cancel(ended.waiter());
    if (!is_cancel) one.model->unload(UnloadReason::request, ended.waiter());
    CHECK(one.model->state() == ModelState::unloading);
    one.until(ModelState::uninitialized);
    CHECK(joined.is(ErrorCode::cancelled));
    CHECK(ended.is(ModelState::uninitialized));
    CHECK(one.house.sockets().empty());
  }
}

TEST_CASE("warming up: an engine that ends is started again, and the state is loading until then") {
  Engined one(slow_warm_up);
  one.load_until(ModelState::warming_up);
  one.kill_engine();
  one.until(ModelState::loading);
  CHECK(one.told_back_offs() == 1);
  one.until(ModelState::warming_up);
  CHECK(one.told_back_offs() == 1);
  CHECK(one.model->status().engine.restarts == 1);
  one.unload();
}

TEST_CASE("warming up: another configuration begins again") {
  Engined one(slow_warm_up);
  one.load_until(ModelState::warming_up);
  one.model->reconfigure(one.configured(512), false);
  CHECK(one.model->state() == ModelState::loading);
  one.until(ModelState::warming_up);
  CHECK(one.told(StatusKind::unloaded) == 0);
  one.unload();
}

TEST_CASE("warming up: a failure is an error that nobody has to wait for") {
  Engined one("fail_warm_up");
  const Waiting waiting;
  one.model->load(waiting.waiter());
  one.until(ModelState::error);
  CHECK(waiting.is(ErrorCode::engine_failed));
  CHECK(one.model->status().health == Health::unhealthy);
}

TEST_CASE("an engine that ends while it is ready: unpublished, told, and ready again") {
  Engined one("");
  one.load_until(ModelState::ready);
  one.kill_engine();
  one.until(ModelState::loading);
  CHECK_FALSE(std::filesystem::exists(one.house.runtime + "/infer.sock"));
  CHECK(one.model->status().availability.code == 30);
  one.until(ModelState::ready);
  CHECK(one.model->status().load_count == 1);
  CHECK(one.told(StatusKind::ready) == 2);
  one.unload();
}

TEST_CASE(
    "while an engine is started again: a load joins, a cancel and an unload end it, a spent budget is an "
    "error") {
  for (const bool is_cancel : {true, false}) {
    Engined one("slow_load=30");
    one.house.llama.environment.pop_back();
    one.load_until(ModelState::ready);
    one.house.llama.environment.push_back("GGML_FAKE_MOOD=slow_load=30");
    one.kill_engine();
    one.until(ModelState::loading);
    const Waiting joined;
    one.model->load(joined.waiter());
    if (is_cancel) one.model->cancel({});
    if (!is_cancel) one.model->unload(UnloadReason::request, {});
    one.until(ModelState::uninitialized);
    CHECK(joined.is(ErrorCode::cancelled));
  }
  Engined spent("", 0);
  spent.load_until(ModelState::ready);
  spent.kill_engine();
  spent.until(ModelState::error);
  CHECK(spent.model->status().engine.last_exit.has_value());
  spent.load_until(ModelState::ready);
  spent.unload();
}

TEST_CASE("while an engine is started again: another configuration begins again, and new bytes go on") {
  Engined one("");
  one.load_until(ModelState::ready);
  one.house.llama.environment.push_back("GGML_FAKE_MOOD=slow_load=30");
  one.kill_engine();
  one.until(ModelState::loading);
  one.house.llama.environment.pop_back();
  one.model->reconfigure(one.configured(512), false);
  one.until(ModelState::ready);
  CHECK(one.model->config().n_ctx == 512);
  one.unload();
}

TEST_CASE("another llama-server that can't be had leaves the one that serves; the next reload tries again") {
  Engined one("");
  std::string& binary = one.house.services.config.llama_server.binary;
  const std::string good = binary;
  one.load_until(ModelState::ready);
  const auto pid = one.model->status().engine.pid;
  for (const std::string bad : {"/none/llama-server", "/bin/true"}) {
    CAPTURE(bad);
    binary = bad;
    one.model->reconfigure(one.model->config(), true);
    const Waiting told;
    one.model->when_settled(told.waiter());
    REQUIRE(run_until(one.house.loop, [&] { return told.is_told(); }));
    CHECK(told.is(bad == "/bin/true" ? ErrorCode::engine_failed : ErrorCode::engine_not_found));
    CHECK(one.model->state() == ModelState::ready);
    CHECK(one.model->status().engine.pid == pid);
    CHECK(std::filesystem::exists(one.house.runtime + "/infer.sock"));
    CHECK(one.told(StatusKind::unloaded) == 0);
  }
  CHECK(one.told(StatusKind::warning) == 2);
  binary = good;
  const std::size_t times_ready = one.told(StatusKind::ready);
  one.model->reconfigure(one.model->config(), true);
  REQUIRE(run_until(one.house.loop, [&] { return one.told(StatusKind::ready) > times_ready; }));
  CHECK(one.model->status().engine.pid != pid);
  one.unload();
}

TEST_CASE("new bytes that arrive while an engine is started again, or warms up, are what is loaded next") {
  for (const ModelState meanwhile : {ModelState::loading, ModelState::warming_up}) {
    CAPTURE(name_of(meanwhile));
    const std::string new_bytes = small_gguf(2);
    HttpServer server([&](auto& exchange) {
      exchange.wait_for_go();
      exchange.send(answer(new_bytes));
    });
    Engined one("");
    one.load_until(ModelState::ready);
    config::ModelConfig next = from_url(server.url("/m"), new_bytes);
    next.engine = config::EngineChoice::llama_server;
    one.model->reconfigure(next, false);
    REQUIRE(run_until(one.house.loop, [&] { return server.requests() == 1; }));
    CHECK(one.model->state() == ModelState::ready);
    CHECK(one.told(StatusKind::restarting) > 0);
    const bool is_warm_up = meanwhile == ModelState::warming_up;
    one.house.llama.environment.push_back(is_warm_up ? "GGML_FAKE_MOOD=busy=30"
                                                     : "GGML_FAKE_MOOD=slow_load=30");
    one.kill_engine();
    one.until(meanwhile);
    one.house.llama.environment.pop_back();
    server.go();
    one.until(ModelState::ready);
    CHECK(one.model->status().sha256 == digest_of(new_bytes).to_hex());
    CHECK(one.told(StatusKind::unloaded) == 0);
    one.unload();
  }
}

TEST_CASE("an engine that ended with its model's error is not told as one that runs") {
  Engined one("");
  const auto check_told = [&] {
    const answer::EngineStatus engine = one.model->status().engine;
    CHECK_FALSE(engine.pid);
    CHECK(engine.backend == Backend::llama_server);
    one.unload();
    CHECK(one.model->state() == ModelState::uninitialized);
    CHECK(one.model->status().engine == answer::EngineStatus());
  };
  SUBCASE("the file was lost") {
    one.load_until(ModelState::ready);
    CHECK(one.model->status().engine.pid);
    std::filesystem::resize_file(one.house.files + "/m.gguf", 64);
    one.model->check_mapped_files();
    one.until(ModelState::error);
    check_told();
  }
  SUBCASE("the load took too long") {
    one.house.llama.environment.push_back("GGML_FAKE_MOOD=slow_load=30");
    config::ModelConfig impatient = one.configured(256);
    impatient.load_timeout_s = 1;
    one.model->reconfigure(impatient, false);
    one.load_until(ModelState::error);
    check_told();
  }
  SUBCASE("the load was cancelled") {
    one.house.llama.environment.push_back("GGML_FAKE_MOOD=busy=30");
    one.load_until(ModelState::warming_up);
    one.unload();
    CHECK(one.model->status().engine == answer::EngineStatus());
  }
}

TEST_CASE("bytes that changed while they are served by an engine end it") {
  Engined one("");
  one.load_until(ModelState::ready);
  std::filesystem::resize_file(one.house.files + "/m.gguf", 64);
  one.model->check_mapped_files();
  one.until(ModelState::error);
  CHECK(one.told(StatusKind::error) == 1);
}

}  // namespace
}  // namespace ggufd::model
