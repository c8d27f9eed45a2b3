#include "loop/offload.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/loop/support.h"

namespace ggufd::loop {
namespace {

using test::Gate;
using test::run_until;
using test::Token;

// Occupies every thread of the pool, so that what comes next stays queued until release().
class FullPool {
 public:
  explicit FullPool(Loop& loop) {
    const char* configured = std::getenv("UV_THREADPOOL_SIZE");
    const int threads = std::max(configured == nullptr ? 4 : std::atoi(configured), 1);
    for (int i = 0; i < threads; ++i) {
      blockers_.push_back(offload<void>(
          loop,
          [passage = gate_.passage()](CancelToken) {
            passage.wait();
            return Result<void>();
          },
          [](Result<void>) {}));
    }
  }
  void release() { gate_.open(); }

 private:
  Gate gate_;
  std::vector<OperationPtr> blockers_;
};

// Work that runs until it is cancelled; counts what its callback is told.
struct EndlessWork {
  std::shared_ptr<std::promise<void>> has_started = std::make_shared<std::promise<void>>();
  int calls = 0;
  std::optional<Result<int>> result;
  OperationPtr operation;

  void start(Loop& loop) {
    operation = offload<int>(
        loop,
        [started = has_started](CancelToken token) -> Result<int> {
          started->set_value();
          while (!token.is_cancelled()) std::this_thread::yield();
          return 1;
        },
        [this](Result<int> outcome) {
          ++calls;
          result = std::move(outcome);
        });
  }
  void wait_until_it_runs() const { has_started->get_future().wait(); }
};

bool is_cancelled(const std::optional<Result<int>>& result) {
  return result && !*result && result->error().code == ErrorCode::cancelled;
}

TEST_CASE("offloaded work runs on another thread and its result comes on the loop's") {
  Loop loop;
  std::thread::id worked_on;
  std::thread::id done_on;
  int value = 0;
  const auto operation = offload<int>(
      loop,
      [&](CancelToken) -> Result<int> {
        worked_on = std::this_thread::get_id();
        return 42;
      },
      [&](Result<int> result) {
        done_on = std::this_thread::get_id();
        value = result.value_or(0);
      });
  CHECK(value == 0);
  loop.run();
  CHECK(value == 42);
  CHECK(done_on == std::this_thread::get_id());
  CHECK(worked_on != done_on);
}

TEST_CASE("an error of offloaded work comes as it is") {
  Loop loop;
  std::optional<Error> error;
  const auto operation = offload<void>(
      loop, [](CancelToken) -> Result<void> { return fail(ErrorCode::disk_full, "writing: no space left"); },
      [&](Result<void> result) {
        if (!result) error = std::move(result.error());
      });
  loop.run();
  REQUIRE(error.has_value());
  CHECK(*error == Error{ErrorCode::disk_full, "writing: no space left"});
}

TEST_CASE("cancelling queued work ends it at once, before a thread is free, and it never runs") {
  Loop loop;
  FullPool pool(loop);
  const auto has_run = std::make_shared<std::atomic<bool>>(false);
  std::optional<Result<int>> outcome;
  const auto operation = offload<int>(
      loop,
      [has_run](CancelToken) -> Result<int> {
        *has_run = true;
        return 1;
      },
      [&](Result<int> result) { outcome = std::move(result); });
  operation->cancel();
  CHECK_FALSE(outcome.has_value());
  REQUIRE(run_until(loop, [&] { return outcome.has_value(); }));
  CHECK(is_cancelled(outcome));
  pool.release();
  loop.run();
  CHECK_FALSE(*has_run);
}

TEST_CASE("cancelling queued work twice ends it once") {
  Loop loop;
  FullPool pool(loop);
  int calls = 0;
  const auto operation =
      offload<int>(loop, [](CancelToken) -> Result<int> { return 1; }, [&](Result<int>) { ++calls; });
  operation->cancel();
  operation->cancel();
  pool.release();
  loop.run();
  CHECK(calls == 1);
}

TEST_CASE("running work sees that it is cancelled and its result is dropped") {
  Loop loop;
  EndlessWork work;
  work.start(loop);
  work.wait_until_it_runs();
  work.operation->cancel();
  CHECK(work.calls == 0);
  loop.run();
  CHECK(work.calls == 1);
  CHECK(is_cancelled(work.result));
}

TEST_CASE("a deadline cancels running work") {
  Loop loop;
  EndlessWork work;
  work.start(loop);
  Timer deadline(loop, [&] { work.operation->cancel(); });
  deadline.start_once(10);
  loop.run();
  CHECK(work.calls == 1);
  CHECK(is_cancelled(work.result));
}

TEST_CASE("cancelling work that has ended but has not been told yet drops its result") {
  Loop loop;
  const auto has_ended = std::make_shared<std::promise<void>>();
  std::optional<Result<int>> outcome;
  const auto operation = offload<int>(
      loop,
      [has_ended](CancelToken) -> Result<int> {
        has_ended->set_value();
        return 1;
      },
      [&](Result<int> result) { outcome = std::move(result); });
  has_ended->get_future().wait();
  operation->cancel();
  loop.run();
  CHECK(is_cancelled(outcome));
}

TEST_CASE("cancelling after the end does nothing") {
  Loop loop;
  int calls = 0;
  OperationPtr operation;
  operation = offload<int>(
      loop, [](CancelToken) -> Result<int> { return 1; },
      [&](Result<int> result) {
        ++calls;
        CHECK(result == 1);
        operation->cancel();
      });
  loop.run();
  operation->cancel();
  loop.run();
  CHECK(calls == 1);
}

TEST_CASE("destroying queued work: it never runs, nobody is told, what it owns is freed") {
  Loop loop;
  FullPool pool(loop);
  Token work_owns;
  Token done_owns;
  const auto has_run = std::make_shared<std::atomic<bool>>(false);
  bool is_told = false;
  auto operation = offload<int>(
      loop,
      [has_run, held = std::move(work_owns.held)](CancelToken) -> Result<int> {
        *has_run = true;
        return 1;
      },
      [&is_told, held = std::move(done_owns.held)](Result<int>) { is_told = true; });
  operation.reset();
  REQUIRE(run_until(loop, [&] { return work_owns.watch.expired() && done_owns.watch.expired(); }));
  pool.release();
  loop.run();
  CHECK_FALSE(*has_run);
  CHECK_FALSE(is_told);
}

TEST_CASE("destroying running work: it is cancelled, nobody is told, what it owns is freed at its end") {
  Loop loop;
  Token done_owns;
  const auto has_started = std::make_shared<std::promise<void>>();
  bool is_told = false;
  auto operation = offload<int>(
      loop,
      [has_started](CancelToken token) -> Result<int> {
        has_started->set_value();
        while (!token.is_cancelled()) std::this_thread::yield();
        return 1;
      },
      [&is_told, held = std::move(done_owns.held)](Result<int>) { is_told = true; });
  has_started->get_future().wait();
  operation.reset();
  loop.run();
  CHECK_FALSE(is_told);
  CHECK(done_owns.watch.expired());
}

TEST_CASE("the callback of offloaded work may destroy the operation") {
  Loop loop;
  OperationPtr operation;
  std::string seen;
  Token token;
  operation = offload<int>(
      loop, [](CancelToken) -> Result<int> { return 1; },
      [&seen, &operation, held = std::move(token.held)](Result<int> result) {
        operation.reset();
        seen = result ? *held : std::string();
      });
  loop.run();
  CHECK(seen == "a string that is not stored inline");
  CHECK(token.watch.expired());
}

TEST_CASE("the callback of offloaded work may start the next in its place") {
  Loop loop;
  OperationPtr operation;
  int value = 0;
  operation = offload<int>(
      loop, [](CancelToken) -> Result<int> { return 1; },
      [&](Result<int> first) {
        operation = offload<int>(
            loop, [first = *first](CancelToken) -> Result<int> { return first + 1; },
            [&](Result<int> second) { value = *second; });
      });
  loop.run();
  CHECK(value == 2);
}

TEST_CASE("a result that can only be moved reaches the callback") {
  Loop loop;
  std::unique_ptr<int> value;
  const auto operation = offload<std::unique_ptr<int>>(
      loop, [](CancelToken) -> Result<std::unique_ptr<int>> { return std::make_unique<int>(7); },
      [&](Result<std::unique_ptr<int>> result) { value = std::move(*result); });
  loop.run();
  REQUIRE(value != nullptr);
  CHECK(*value == 7);
}

TEST_CASE("a dropped result is freed, though the operation is still held") {
  Loop loop;
  Token token;
  const auto has_started = std::make_shared<std::promise<void>>();
  auto operation = offload<std::shared_ptr<std::string>>(
      loop,
      [has_started,
       held = std::move(token.held)](CancelToken cancelled) mutable -> Result<std::shared_ptr<std::string>> {
        has_started->set_value();
        while (!cancelled.is_cancelled()) std::this_thread::yield();
        return std::move(held);
      },
      [](Result<std::shared_ptr<std::string>> result) { CHECK_FALSE(result.has_value()); });
  has_started->get_future().wait();
  SUBCASE("cancelled") {
    operation->cancel();
    loop.run();
    CHECK(operation != nullptr);
  }
  SUBCASE("destroyed") {
    operation.reset();
    loop.run();
  }
  CHECK(token.watch.expired());
}

TEST_CASE("what the work owned is freed before its callback comes") {
  Loop loop;
  Token token;
  bool is_freed = false;
  const auto operation = offload<int>(
      loop, [held = std::move(token.held)](CancelToken) -> Result<int> { return 1; },
      [&](Result<int>) { is_freed = token.watch.expired(); });
  loop.run();
  CHECK(is_freed);
}

}  // namespace
}  // namespace ggufd::loop
