// A supervised llama-server, from its start to its end, against the fake one
// (tests/support/fake_llama_server.py), with waits that are shorter than the daemon's.
#include "engine/llama_server.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/launcher.h"
#include "tests/unit/loop/support.h"

namespace ggufd::engine {
namespace {

using loop::test::run_until;
using loop::test::TempFolder;

[[maybe_unused]] const bool is_quiet = [] {
  spdlog::set_level(spdlog::level::off);
  return true;
}();

// Remembers what it is told.
struct Told final : EngineUser {
  std::vector<PhaseKind> phases;
  std::vector<EngineDown> downs;
  int ups = 0;
  std::optional<Error> failure;

  void on_engine_phase(LoadPhase phase) override {
    if (phases.empty() || phases.back() != kind_of(phase)) phases.push_back(kind_of(phase));
  }
  void on_engine_warning(std::string, std::string) override {}
  void on_engine_up() override { ++ups; }
  void on_engine_down(const EngineDown& down) override { downs.push_back(down); }
  void on_engine_failed(const Error& error) override { failure = error; }
};

struct Scene {
  TempFolder folder;
  loop::Loop loop;
  std::unique_ptr<fetch::CurlLoop> curl = std::make_unique<fetch::CurlLoop>(loop);
  LlamaHost host{loop, *curl, own_environment(), folder.file("run"), std::nullopt};
  Told told;
  std::unique_ptr<Engine> engine;
  config::Config config;
  std::uint32_t load_timeout_s = 600;

  explicit Scene(const std::string& mood) {
    std::filesystem::create_directory(host.runtime_folder);
    host.environment.push_back("GGML_FAKE_MOOD=" + mood);
    host.times = {.answer_limit_ms = 100, .ready_interval_ms = 20, .slots_interval_ms = 5};
    config.llama_server.binary = GGUFD_SOURCE_DIR "/tests/support/fake_llama_server.py";
    config.llama_server.health_interval_ms = 20;
    config.llama_server.backoff_initial_ms = 1;
    config.llama_server.stop_grace_s = 1;
  }

  void start() {
    std::optional<Result<LlamaBuild>> build;
    const auto asking = host.probe.probe(config.llama_server.binary,
                                         [&](Result<LlamaBuild> told_of) { build = std::move(told_of); });
    REQUIRE(run_until(loop, [&] { return build.has_value(); }));
    REQUIRE(build->has_value());
    // Version 3, no tensors, no keys: the fake needs no more.
    const std::string model = folder.file("m.gguf");
    std::ofstream(model, std::ios::binary) << "GGUF\3" << std::string(19, '\0');
    const int descriptor = open(model.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    const std::shared_ptr<int> owner(new int(descriptor), [](int* fd) {
      close(*fd);
      delete fd;
    });
    engine = start_llama_server(host,
                                llama_order({.name = "m", .n_ctx = 256, .load_timeout_s = load_timeout_s},
                                            config, {.path = config.llama_server.binary, .build = **build},
                                            {.path = model, .descriptor = descriptor, .owner = owner},
                                            {.n_ctx = 256}, host.runtime_folder),
                                told);
  }
  template <class Reached>
  void wait_for(Reached reached) {
    REQUIRE(run_until(loop, reached));
  }
  void stop() {
    bool is_stopped = false;
    engine->stop([&] { is_stopped = true; });
    wait_for([&] { return is_stopped; });
    CHECK_FALSE(engine->status().pid.has_value());
  }
};

TEST_CASE("it comes up, is told of in order, and is gone when it was stopped") {
  Scene scene("");
  scene.start();
  scene.wait_for([&] { return scene.told.ups == 1; });
  CHECK(scene.told.phases == std::vector{PhaseKind::engine_start, PhaseKind::warm_up});
  CHECK(scene.engine->capabilities().backend == Backend::llama_server);
  CHECK(scene.engine->capabilities().n_ctx == 256);
  CHECK(scene.engine->warm_up_ms().has_value());
  const auto pid = scene.engine->status().pid;
  REQUIRE(pid.has_value());
  CHECK(std::filesystem::exists(scene.engine->socket_path()));
  scene.stop();
  CHECK(kill(static_cast<pid_t>(*pid), 0) != 0);
}

TEST_CASE("one that stops answering while it is ready is killed and started again") {
  Scene scene("hang_after=1");
  scene.start();
  scene.wait_for([&] { return !scene.told.downs.empty(); });
  CHECK(scene.told.ups == 1);
  CHECK(scene.told.downs.front().reason == RestartReason::engine_unresponsive);
  CHECK(scene.told.downs.front().attempt == 2);
  CHECK(scene.told.downs.front().restarts_left == 2);
  scene.wait_for([&] { return scene.told.ups == 2; });
  scene.stop();
}

TEST_CASE("one that takes connections and answers nothing while it starts hangs, too") {
  Scene scene("bad_health=slow");
  scene.config.llama_server.restart_max = 0;
  scene.start();
  scene.wait_for([&] { return scene.told.failure.has_value(); });
  CHECK(scene.told.failure->code == ErrorCode::engine_unhealthy);
  CHECK(scene.told.failure->message.find("did not answer") != std::string::npos);
}

TEST_CASE("a warm-up that is never answered has an end") {
  Scene scene("busy=30");
  scene.config.llama_server.restart_max = 0;
  scene.load_timeout_s = 1;
  scene.start();
  scene.wait_for([&] { return scene.told.failure.has_value(); });
  CHECK(scene.told.failure->code == ErrorCode::engine_unhealthy);
  CHECK(scene.told.failure->message.find("warm-up") != std::string::npos);
}

TEST_CASE("a build without slots is stopped as soon as nobody is connected") {
  Scene scene("no_slots");
  scene.start();
  scene.wait_for([&] { return scene.told.ups == 1; });
  scene.stop();
}

TEST_CASE("stopped in any stage it is gone, and nothing is told any more") {
  for (const char* mood : {"hang_at_load", "busy=30", "slow_help=0", "exit_at_start"}) {
    CAPTURE(mood);
    Scene scene(mood);
    scene.config.llama_server.backoff_initial_ms = 60'000;
    scene.config.llama_server.backoff_max_ms = 60'000;
    scene.start();
    const bool is_down = std::string(mood) == "exit_at_start";
    const bool warms_up = std::string(mood) == "busy=30";
    scene.wait_for([&] {
      if (is_down) return !scene.told.downs.empty();
      return !scene.told.phases.empty() && (!warms_up || scene.told.phases.back() == PhaseKind::warm_up);
    });
    const int ups = scene.told.ups;
    scene.stop();
    CHECK(scene.told.ups == ups);
    CHECK_FALSE(scene.told.failure.has_value());
  }
}

TEST_CASE("whether it is used is known to who wants to know") {
  Scene scene("");
  scene.start();
  scene.wait_for([&] { return scene.told.ups == 1; });
  scene.engine->watch_use(20);
  {
    const auto client = loop::test::Client(scene.engine->socket_path());
    scene.wait_for([&] { return scene.engine->use().is_busy; });
  }
  scene.wait_for([&] { return !scene.engine->use().is_busy; });
  CHECK(scene.engine->use().last_ms > 0);
  scene.stop();
}

}  // namespace
}  // namespace ggufd::engine
