// Whatever is under way when its owner goes: the loop closes cleanly, which its destructor checks, and
// nothing is told, left running or leaked.
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "loop/child.h"
#include "loop/offload.h"
#include "loop/signal.h"
#include "tests/unit/loop/support.h"

namespace ggufd::loop {
namespace {

using test::has_children;
using test::Lifeline;
using test::run_until;
using test::Token;

// One operation of each kind that does not end by itself. They count the callbacks that come.
struct Everything {
  explicit Everything(Loop& of) : loop(of), connection(loop) {}

  // endless_jobs: more than the pool has threads keep it full, with some of them queued and no slice under
  // way.
  void start(int endless_jobs) {
    once = std::make_unique<Timer>(loop, [told = told] { ++*told; });
    once->start_once(3'600'000);
    repeating = std::make_unique<Timer>(loop, [told = told] { ++*told; });
    repeating->start_repeating(3'600'000);
    signal = std::make_unique<Signal>(loop, SIGUSR1, [told = told] { ++*told; });
    start_pool_work(endless_jobs);
    user.on_read = user.on_ended = user.on_writable = [told = told] { ++*told; };
    connection.stream->start_reading(user);
    const auto text = test::much_text();
    const iovec all = test::piece(*text);
    REQUIRE(connection.stream->try_write({&all, 1}).has_value());
    connection.stream->wait_for_room();
    auto started =
        start_child(loop, {.program = "/bin/sh", .arguments = {"-c", "trap '' TERM; sleep 60 & wait"}},
                    {.on_output = [told = told](std::string_view) { ++*told; },
                     .on_exit = [told = told](ChildExit) { ++*told; }});
    REQUIRE(started.has_value());
    operations.push_back(std::move(*started));
    family.let_go();
  }

  void start_pool_work(int endless_jobs) {
    const auto until_cancelled = [held = worked.held](CancelToken token) {
      while (!token.is_cancelled()) std::this_thread::yield();
      return Result<void>();
    };
    worked.held.reset();
    for (int i = 0; i < endless_jobs; ++i) {
      operations.push_back(offload<void>(loop, until_cancelled, [told = told](Result<void>) { ++*told; }));
    }
    operations.push_back(offload_slices(
        loop, {.total_bytes = ~std::uint64_t{0}, .slice_bytes = 1},
        [](std::uint64_t, std::uint64_t) { return Result<void>(); },
        [told = told](std::uint64_t) { ++*told; }, [told = told](Result<void>) { ++*told; }));
  }

  Loop& loop;
  std::shared_ptr<int> told = std::make_shared<int>(0);  // callbacks that came
  Token worked;
  Lifeline family;
  test::Listening user;
  test::Connection connection;
  std::unique_ptr<Timer> once;
  std::unique_ptr<Timer> repeating;
  std::unique_ptr<Signal> signal;
  std::vector<OperationPtr> operations;
};

TEST_CASE("a loop whose objects are all destroyed with everything under way closes cleanly") {
  std::optional<Loop> loop(std::in_place);
  auto all = std::make_unique<Everything>(*loop);
  int endless_jobs = 12;
  bool is_turned = true;
  SUBCASE("before the loop has turned") {
    is_turned = false;
  }
  SUBCASE("after some turns, with a full pool") {}
  SUBCASE("after some turns, with slices on their way") {
    endless_jobs = 1;
  }
  all->start(endless_jobs);
  const auto worked = all->worked.watch;
  if (is_turned) {
    bool has_come = false;
    Timer some_turns(*loop, [&] { has_come = true; });
    some_turns.start_once(10);
    REQUIRE(run_until(*loop, [&] { return has_come; }));
    CHECK((*all->told > 0) == (endless_jobs == 1));
  }
  const auto told = all->told;
  const int told_before = *told;
  all.reset();
  loop.reset();
  CHECK(*told == told_before);
  CHECK(worked.expired());
  CHECK_FALSE(has_children());
}

TEST_CASE("destroying everything from a callback leaves a loop that ends by itself") {
  Loop loop;
  auto all = std::make_unique<Everything>(loop);
  all->start(12);
  const auto worked = all->worked.watch;
  const auto told = all->told;
  int told_before = -1;
  Timer end(loop, [&] {
    told_before = *told;
    all.reset();
  });
  end.start_once(10);
  loop.run();
  CHECK(*told == told_before);
  CHECK(uv_loop_alive(loop.raw()) == 0);
  CHECK(worked.expired());
  CHECK_FALSE(has_children());
}

TEST_CASE("cancelling every operation ends each through its own callback") {
  Loop loop;
  std::vector<OperationPtr> operations;
  int cancelled = 0;
  const auto note = [&](const Result<void>& result) {
    if (!result && result.error().code == ErrorCode::cancelled) ++cancelled;
  };
  for (int i = 0; i < 12; ++i) {
    operations.push_back(offload<void>(
        loop,
        [](CancelToken token) {
          while (!token.is_cancelled()) std::this_thread::yield();
          return Result<void>();
        },
        note));
  }
  operations.push_back(offload_slices(
      loop, {.total_bytes = ~std::uint64_t{0}, .slice_bytes = 1},
      [](std::uint64_t, std::uint64_t) { return Result<void>(); }, [](std::uint64_t) {}, note));
  bool child_has_ended = false;
  auto child = start_child(loop, {.program = "/bin/sleep", .arguments = {"60"}},
                           {.on_exit = [&](ChildExit) { child_has_ended = true; }});
  REQUIRE(child.has_value());
  operations.push_back(std::move(*child));
  Timer deadline(loop, [&] {
    for (const OperationPtr& operation : operations) operation->cancel();
    CHECK(cancelled == 0);
    CHECK_FALSE(child_has_ended);
  });
  deadline.start_once(10);
  loop.run();
  CHECK(cancelled == 13);
  CHECK(child_has_ended);
  CHECK_FALSE(has_children());
}

}  // namespace
}  // namespace ggufd::loop
