#include "loop/timer.h"

#include <memory>
#include <string>

#include "tests/unit/loop/support.h"

namespace ggufd::loop {
namespace {

using test::run_until;
using test::Stopwatch;
using test::Token;

// libuv counts in whole milliseconds of its own clock.
constexpr std::int64_t tick_ms = 1;

TEST_CASE("a timer that is started once fires once, after its delay") {
  Loop loop;
  int fired = 0;
  Timer timer(loop, [&] { ++fired; });
  const Stopwatch watch;
  timer.start_once(20);
  CHECK(timer.is_running());
  loop.run();
  CHECK(fired == 1);
  CHECK(watch.elapsed_ms() >= 20 - tick_ms);
  CHECK_FALSE(timer.is_running());
}

TEST_CASE("a repeating timer fires until it is stopped") {
  Loop loop;
  int fired = 0;
  const Stopwatch watch;
  Timer timer(loop, [&] {
    if (++fired == 3) timer.stop();
  });
  timer.start_repeating(5);
  loop.run();
  CHECK(fired == 3);
  CHECK(watch.elapsed_ms() >= 3 * 5 - tick_ms);
  CHECK_FALSE(timer.is_running());
}

TEST_CASE("a timer that repeats every 0 ms fires again and again") {
  Loop loop;
  int fired = 0;
  Timer timer(loop, [&] {
    if (++fired == 3) timer.stop();
  });
  timer.start_repeating(0);
  loop.run();
  CHECK(fired == 3);
}

TEST_CASE("a stopped timer does not fire and does not keep the loop running") {
  Loop loop;
  bool has_fired = false;
  Timer timer(loop, [&] { has_fired = true; });
  timer.start_once(0);
  timer.stop();
  loop.run();
  CHECK_FALSE(has_fired);
}

TEST_CASE("a destroyed timer does not fire") {
  Loop loop;
  bool has_fired = false;
  auto timer = std::make_unique<Timer>(loop, [&] { has_fired = true; });
  timer->start_once(0);
  timer.reset();
  loop.run();
  CHECK_FALSE(has_fired);
}

TEST_CASE("starting a running timer starts it over") {
  Loop loop;
  int fired = 0;
  Timer timer(loop, [&] { ++fired; });
  const Stopwatch watch;
  timer.start_repeating(3'600'000);
  timer.start_once(1);
  loop.run();
  CHECK(fired == 1);
}

TEST_CASE("a timer can start itself again from its callback") {
  Loop loop;
  int fired = 0;
  Timer timer(loop, [&] {
    if (++fired < 3) timer.start_once(1);
  });
  timer.start_once(1);
  loop.run();
  CHECK(fired == 3);
}

TEST_CASE("a timer that starts itself again with 0 ms lets the rest of the loop run") {
  Loop loop;
  int fired = 0;
  bool has_turn_ended = false;
  Timer timer(loop, [&] {
    if (++fired == 1) loop.at_end_of_turn([&] { has_turn_ended = true; });
    if (!has_turn_ended && fired < 1000) timer.start_once(0);
  });
  timer.start_once(0);
  loop.run();
  CHECK(has_turn_ended);
  CHECK(fired < 1000);
}

TEST_CASE("a timer's callback may destroy it") {
  Loop loop;
  std::unique_ptr<Timer> timer;
  std::string seen;
  Token token;
  timer = std::make_unique<Timer>(loop, [&seen, &timer, held = std::move(token.held)] {
    timer.reset();
    seen += *held;
  });
  SUBCASE("started once") {
    timer->start_once(1);
  }
  SUBCASE("repeating") {
    timer->start_repeating(1);
  }
  loop.run();
  CHECK(seen == "a string that is not stored inline");
  CHECK(token.watch.expired());
}

TEST_CASE("a timer that another one destroys in the same turn does not fire") {
  Loop loop;
  bool has_fired = false;
  auto second = std::make_unique<Timer>(loop, [&] { has_fired = true; });
  Timer first(loop, [&] { second.reset(); });
  Timer begin(loop, [&] {
    first.start_once(1);
    second->start_once(1);
    const Stopwatch watch;
    watch.burn_until_ms(5);  // both are due in the next turn
  });
  begin.start_once(1);
  loop.run();
  CHECK(second == nullptr);
  CHECK_FALSE(has_fired);
}

TEST_CASE("a long turn does not shorten the delay of a timer that it starts") {
  Loop loop;
  const Stopwatch watch;
  std::int64_t started_ms = 0;
  std::int64_t fired_ms = 0;
  Timer timer(loop, [&] { fired_ms = watch.elapsed_ms(); });
  Timer long_turn(loop, [&] {
    watch.burn_until_ms(watch.elapsed_ms() + 30);
    started_ms = watch.elapsed_ms();
    timer.start_once(30);
  });
  long_turn.start_once(1);
  loop.run();
  CHECK(fired_ms - started_ms >= 30 - 2 * tick_ms);
}

TEST_CASE("the loop's time stays the same during a turn, whatever is started") {
  Loop loop;
  const Stopwatch watch;
  std::uint64_t before_ms = 0;
  std::uint64_t after_ms = 1;
  Timer other(loop, [] {});
  Timer long_turn(loop, [&] {
    before_ms = loop.now_ms();
    watch.burn_until_ms(watch.elapsed_ms() + 10);
    other.start_once(1);
    after_ms = loop.now_ms();
  });
  long_turn.start_once(1);
  loop.run();
  CHECK(after_ms == before_ms);
}

}  // namespace
}  // namespace ggufd::loop
