#include "service/service_manager.h"

#include <fmt/core.h>

#include "support.h"

namespace ggufd::service {
namespace {

using loop::test::run_until;
using loop::test::Stopwatch;
using loop::test::TempFolder;
using test::Manager;

struct Scene {
  loop::Loop loop;
  config::Config config{.models = {config::ModelConfig{.name = "tiny"}}};
  TempFolder folder;
  Manager manager{folder.file("notify")};

  // The next message, waited for.
  std::string next() {
    std::optional<std::string> message;
    REQUIRE(run_until(loop, [&] {
      message = manager.read();
      return message.has_value();
    }));
    return *message;
  }
};

StatusEvent downloading(std::uint64_t percent) {
  return {.status = status::LoadingModel{phase::Download{.downloaded_bytes = percent, .total_bytes = {100}}},
          .model = "tiny"};
}
StatusEvent of_tiny(Status status) {
  return {.status = std::move(status), .model = "tiny"};
}

TEST_CASE("a daemon's life as its manager hears it") {
  Scene scene;
  ServiceManager service(scene.loop, scene.config, scene.manager.environment());
  service.published({.status = status::Starting{}});
  CHECK(scene.manager.read_all().empty());
  service.ready();
  service.published(downloading(10));
  service.published(of_tiny(status::Ready{}));
  service.reload_began();
  service.reload_ended();
  service.published({.status = status::Draining{}});
  service.stopping();
  service.published(of_tiny(status::Unloading{}));
  const auto told = scene.manager.read_all();
  REQUIRE(told.size() == 7);
  CHECK(told[0] == "READY=1\nSTATUS=0 of 1 model ready");
  CHECK(told[1] == "STATUS=tiny: download 10 %");
  CHECK(told[2] == "STATUS=1 of 1 model ready");
  CHECK(told[3].starts_with("RELOADING=1\nMONOTONIC_USEC="));
  CHECK(told[4] == "READY=1\nSTATUS=1 of 1 model ready");
  CHECK(told[5] == "STATUS=draining");
  CHECK(told[6] == "STOPPING=1\nSTATUS=draining");
}

TEST_CASE("progress is told once a second, and its last state in the end") {
  Scene scene;
  ServiceManager service(scene.loop, scene.config, scene.manager.environment());
  service.ready();
  for (std::uint64_t percent = 0; percent <= 90; ++percent) service.published(downloading(percent));
  CHECK(scene.manager.read_all() ==
        std::vector<std::string>{"READY=1\nSTATUS=0 of 1 model ready", "STATUS=tiny: download 0 %"});
  const Stopwatch since_first;
  CHECK(scene.next() == "STATUS=tiny: download 90 %");
  CHECK(since_first.elapsed_ms() >= static_cast<std::int64_t>(ServiceManager::progress_interval_ms) - 50);
  service.close();
}

TEST_CASE("a sign of life comes twice within the watchdog's time, from the loop, until the end") {
  Scene scene;
  ServiceManager service(scene.loop, scene.config, scene.manager.environment({{"WATCHDOG_USEC", "200000"}}));
  service.ready();
  CHECK(scene.next() == "READY=1\nSTATUS=0 of 1 model ready");
  const Stopwatch since_ready;
  since_ready.burn_until_ms(250);  // a loop that hangs
  CHECK_FALSE(scene.manager.read().has_value());
  CHECK(scene.next() == "WATCHDOG=1");
  service.stopping();
  CHECK(scene.next().starts_with("STOPPING=1"));
  CHECK(scene.next() == "WATCHDOG=1");
  service.close();
  scene.loop.run();  // ends: nothing of it keeps the loop running
  CHECK(scene.manager.read_all().empty());
}

TEST_CASE("a watchdog that is another process's, or none, is not fed") {
  using Variables = std::map<std::string, std::string>;
  for (const Variables& variables :
       {Variables{{"WATCHDOG_USEC", "1000"}, {"WATCHDOG_PID", "1"}}, Variables{{"WATCHDOG_USEC", "0"}},
        Variables{{"WATCHDOG_USEC", "soon"}}, Variables{}}) {
    Scene scene;
    ServiceManager service(scene.loop, scene.config, scene.manager.environment(variables));
    service.ready();
    scene.loop.run();
    CHECK(scene.manager.read_all().size() == 1);
  }
}

TEST_CASE("a manager that reads late hears what matters, in order, and the last status only") {
  Scene scene;
  ServiceManager service(scene.loop, scene.config, scene.manager.environment());
  // Either end may be full first, the manager's queue or a sender's buffer: it is the manager's once a new
  // sender can't send.
  while (NotifySocket(scene.manager.environment()).send("X=1") == NotifySocket::Sent::yes) continue;
  service.ready();
  service.published(of_tiny(status::LoadingModel{phase::CheckingLocal{"/a"}}));
  service.published(of_tiny(status::LoadingModel{phase::WarmUp{}}));
  service.published(of_tiny(status::Ready{}));
  service.reload_began();
  for (const std::string& message : scene.manager.read_all()) REQUIRE(message == "X=1");
  CHECK(scene.next() == "READY=1\nSTATUS=0 of 1 model ready");
  CHECK(scene.next() == "STATUS=1 of 1 model ready");
  CHECK(scene.next().starts_with("RELOADING=1"));
  service.close();
}

TEST_CASE("without a manager nothing runs") {
  Scene scene;
  ServiceManager service(scene.loop, scene.config, test::environment_of({{"WATCHDOG_USEC", "1000"}}));
  service.ready();
  service.published(downloading(1));
  service.published(downloading(2));
  scene.loop.run();
  CHECK(scene.manager.read_all().empty());
}

}  // namespace
}  // namespace ggufd::service
