#include "ctl/scene.h"

#include <doctest/doctest.h>

#include "ctl/human.h"
#include "tests/unit/ctl/support.h"

namespace ggufd::ctl {

using namespace test;
using Lines = std::vector<std::string>;

TEST_CASE("scene: a line a model, in the order in which they came") {
  Scene scene;
  scene.apply(event(1, download(100), "b"));
  scene.apply(event(2, ready(), "aaa"));
  scene.apply(event(3, download(500), "b"));
  CHECK(scene.lines(29, 10, {}) == Lines{"b    download  [===>  ]   50%", "aaa  ready  loaded in 1.5 s"});
}

TEST_CASE("scene: asides change no line") {
  Scene scene;
  scene.apply(event(1, ready()));
  scene.apply(event(2, status::Warning{.code = "c", .message = "w"}));
  scene.apply(event(3, status::Capabilities{}));
  scene.apply(event(4, status::Lagged{.missed = 1}, {}));
  CHECK(scene.lines(40, 10, {}) == Lines{"m  ready  loaded in 1.5 s"});
}

TEST_CASE("scene: the daemon's start gives way to a model, its stop stays") {
  Scene scene;
  scene.apply(event(1, status::Starting{.version = "1", .pid = 2}, {}));
  CHECK(scene.lines(60, 10, {}) == Lines{"ggufd  starting  ggufd 1  process 2"});
  scene.apply(event(2, ready()));
  CHECK(scene.lines(60, 10, {}) == Lines{"m  ready  loaded in 1.5 s"});
  scene.apply(event(3, status::Draining{}, {}));
  scene.apply(event(4, status::Unloading{.reason = UnloadReason::shutdown}));
  CHECK(scene.lines(60, 10, {}) == Lines{"ggufd  draining", "m      unloading  shutdown"});
}

TEST_CASE("scene: where there are too many models, those under way are shown") {
  Scene scene;
  for (int i = 0; i < 8; ++i) scene.apply(event(1, ready(), fmt::format("m{}", i)));
  scene.apply(event(2, download(500), "m7"));
  const Lines lines = scene.lines(40, 3, {});
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].starts_with("m7  download"));
  CHECK(lines[1].starts_with("m0  ready"));
  CHECK(lines[2] == "and 6 more");
}

TEST_CASE("scene: lines fit twenty columns and a single row") {
  Scene scene;
  scene.apply(event(1, download(430), "a-model-with-a-long-name"));
  scene.apply(event(2, failure("something went wrong"), "b"));
  for (const auto& line : scene.lines(20, 10, {.utf8 = true})) CHECK(columns_of(line) <= 20);
  CHECK(scene.lines(20, 1, {}) == Lines{"and 2 more"});
}

TEST_CASE("scene: redrawing goes up over what stands and clears what is left") {
  CHECK(redrawn(0, {"a", "b"}) == "\ra\x1b[K\nb\x1b[K\n\x1b[J");
  CHECK(redrawn(2, {"c"}) == "\x1b[2A\rc\x1b[K\n\x1b[J");
  CHECK(redrawn(1, {}) == "\x1b[1A\r\x1b[J");
}

TEST_CASE("log: progress is a line a second, its begin and its end") {
  LogFilter filter;
  CHECK(filter.admits(event(1, download(0))));
  CHECK_FALSE(filter.admits(event(5, download(100))));
  CHECK_FALSE(filter.admits(event(10, download(200))));
  CHECK(filter.admits(event(11, download(300))));
  CHECK(filter.admits(event(12, download(1000))));
  CHECK_FALSE(filter.admits(event(13, download(1000))));
}

TEST_CASE("log: every change of phase and status is a line, whatever the clock says") {
  LogFilter filter;
  CHECK(filter.admits(event(9, download(0))));
  CHECK(filter.admits(
      event(9, status::LoadingModel{phase::Verify{.path = "", .verified_bytes = 0, .total_bytes = 9}})));
  CHECK(filter.admits(event(9, status::LoadingModel{phase::EngineStart{.attempt = 1}})));
  CHECK(filter.admits(event(9, status::LoadingModel{phase::EngineStart{.attempt = 2}})));
  CHECK(filter.admits(event(9, failure("x"))));
  CHECK(filter.admits(event(9, failure("y"))));
  CHECK(filter.admits(event(9, download(10))));
  CHECK(filter.admits(event(2, download(20))));  // the clock was set back
}

TEST_CASE("log: models and warnings do not silence one another") {
  LogFilter filter;
  CHECK(filter.admits(event(1, download(0), "a")));
  CHECK(filter.admits(event(1, download(0), "b")));
  CHECK(filter.admits(event(1, status::Warning{.code = "c", .message = "w"}, "a")));
  CHECK_FALSE(filter.admits(event(2, download(1), "a")));
}

}  // namespace ggufd::ctl
