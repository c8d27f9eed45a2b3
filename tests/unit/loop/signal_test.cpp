#include "loop/signal.h"

#include <csignal>
#include <memory>
#include <string>

#include "tests/unit/loop/support.h"

namespace ggufd::loop {
namespace {

using test::run_until;
using test::Token;

TEST_CASE("a signal is delivered on the loop, each time") {
  Loop loop;
  int signals = 0;
  Signal signal(loop, SIGUSR1, [&] { ++signals; });
  std::raise(SIGUSR1);
  CHECK(signals == 0);
  REQUIRE(run_until(loop, [&] { return signals == 1; }));
  std::raise(SIGUSR1);
  REQUIRE(run_until(loop, [&] { return signals == 2; }));
}

TEST_CASE("waiting for a signal does not keep the loop running") {
  Loop loop;
  Signal signal(loop, SIGUSR1, [] {});
  loop.run();
  CHECK(uv_loop_alive(loop.raw()) == 0);
}

TEST_CASE("each object gets its own signal only") {
  Loop loop;
  std::string order;
  Signal first(loop, SIGUSR1, [&] { order += '1'; });
  Signal second(loop, SIGUSR2, [&] { order += '2'; });
  std::raise(SIGUSR2);
  REQUIRE(run_until(loop, [&] { return !order.empty(); }));
  CHECK(order == "2");
}

TEST_CASE("a destroyed signal is not delivered and gives back the system's default") {
  Loop loop;
  bool has_come = false;
  auto signal = std::make_unique<Signal>(loop, SIGUSR1, [&] { has_come = true; });
  std::raise(SIGUSR1);
  signal.reset();
  loop.run();
  CHECK_FALSE(has_come);
  struct sigaction now{};
  sigaction(SIGUSR1, nullptr, &now);
  CHECK((now.sa_handler == SIG_DFL));
}

TEST_CASE("a signal's callback may destroy it") {
  Loop loop;
  std::unique_ptr<Signal> signal;
  std::string seen;
  Token token;
  signal = std::make_unique<Signal>(loop, SIGUSR1, [&seen, &signal, held = std::move(token.held)] {
    signal.reset();
    seen = *held;
  });
  std::raise(SIGUSR1);
  REQUIRE(run_until(loop, [&] { return !seen.empty(); }));
  CHECK(token.watch.expired());
}

}  // namespace
}  // namespace ggufd::loop
