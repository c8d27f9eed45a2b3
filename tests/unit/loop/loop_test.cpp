#include "loop/loop.h"

#include <memory>
#include <optional>
#include <string>

#include "tests/unit/loop/support.h"

namespace ggufd::loop {
namespace {

using test::Stopwatch;
using test::Token;

TEST_CASE("a loop with nothing to wait for ends at once") {
  Loop loop;
  loop.run();
  loop.run();
  CHECK(uv_loop_alive(loop.raw()) == 0);
}

TEST_CASE("tasks for the end of the turn run in the order in which they came") {
  Loop loop;
  std::string order;
  loop.at_end_of_turn([&] { order += 'a'; });
  loop.at_end_of_turn([&] { order += 'b'; });
  loop.at_end_of_turn([&] { order += 'c'; });
  CHECK(order.empty());
  loop.run();
  CHECK(order == "abc");
}

TEST_CASE("tasks that a task adds run at the same end of turn, after those that came before") {
  Loop loop;
  std::string order;
  Timer next_turn(loop, [&] { order += 't'; });
  loop.at_end_of_turn([&] {
    order += 'a';
    next_turn.start_once(1);
    const Stopwatch watch;
    watch.burn_until_ms(5);  // it is due
    loop.at_end_of_turn([&] {
      order += 'c';
      loop.at_end_of_turn([&] { order += 'd'; });
    });
  });
  loop.at_end_of_turn([&] { order += 'b'; });
  loop.run();
  CHECK(order == "abcdt");
}

TEST_CASE("the end of the turn comes after all callbacks of the turn and before the loop waits") {
  Loop loop;
  std::string order;
  Timer first(loop, [&] {
    order += '1';
    loop.at_end_of_turn([&] { order += 'e'; });
  });
  Timer after_waiting(loop, [&] { order += 'w'; });
  Timer second(loop, [&] {
    order += '2';
    after_waiting.start_once(1);
  });
  Timer begin(loop, [&] {
    first.start_once(1);
    second.start_once(1);
    const Stopwatch watch;
    watch.burn_until_ms(5);  // both are due in the next turn
  });
  begin.start_once(1);
  loop.run();
  CHECK(order == "12ew");
}

TEST_CASE("a task keeps a loop alive that would end") {
  Loop loop;
  bool has_run = false;
  Timer last(loop, [&] { loop.at_end_of_turn([&] { has_run = true; }); });
  last.start_once(1);
  loop.run();
  CHECK(has_run);
}

TEST_CASE("a task can start what the loop then waits for") {
  Loop loop;
  bool has_fired = false;
  Timer timer(loop, [&] { has_fired = true; });
  loop.at_end_of_turn([&] { timer.start_once(1); });
  loop.run();
  CHECK(has_fired);
}

TEST_CASE("a task runs once") {
  Loop loop;
  int runs = 0;
  loop.at_end_of_turn([&] { ++runs; });
  loop.run();
  Timer timer(loop, [] {});
  timer.start_once(1);
  loop.run();
  CHECK(runs == 1);
}

TEST_CASE("a task that has run is freed") {
  Loop loop;
  Token token;
  loop.at_end_of_turn([held = std::move(token.held)] {});
  loop.run();
  CHECK(token.watch.expired());
}

TEST_CASE("a loop that ends drops the tasks that have not run, with the objects of the loop that they own") {
  std::optional<Loop> loop(std::in_place);
  bool has_run = false;
  Token token;
  auto timer = std::make_unique<Timer>(*loop, [held = std::move(token.held)] {});
  timer->start_repeating(1);
  loop->at_end_of_turn([&has_run, owned = std::move(timer)] { has_run = true; });
  loop.reset();
  CHECK_FALSE(has_run);
  CHECK(token.watch.expired());
}

TEST_CASE("what a dropped task adds on its way is dropped too") {
  struct AddsATask {
    Loop* loop;
    bool* has_run;
    explicit AddsATask(Loop& of, bool& run) : loop(&of), has_run(&run) {}
    AddsATask(AddsATask&& other) noexcept
        : loop(std::exchange(other.loop, nullptr)), has_run(other.has_run) {}
    AddsATask& operator=(AddsATask&&) = delete;
    ~AddsATask() {
      if (loop != nullptr) loop->at_end_of_turn([run = has_run] { *run = true; });
    }
  };
  bool has_run = false;
  {
    Loop loop;
    loop.at_end_of_turn([adds = AddsATask(loop, has_run)] {});
  }
  CHECK_FALSE(has_run);
}

}  // namespace
}  // namespace ggufd::loop
