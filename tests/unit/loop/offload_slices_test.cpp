#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "loop/offload.h"
#include "tests/unit/loop/support.h"

namespace ggufd::loop {
namespace {

using test::Gate;
using test::Token;

using Extent = std::pair<std::uint64_t, std::uint64_t>;  // offset, length

// What an operation in slices did and told.
struct Record {
  std::shared_ptr<std::vector<Extent>> worked = std::make_shared<std::vector<Extent>>();
  std::vector<std::uint64_t> progress;
  int done_calls = 0;
  std::optional<Result<void>> result;
  OperationPtr operation;

  auto noting_work() const {
    return [extents = worked](std::uint64_t offset, std::uint64_t length) {
      extents->emplace_back(offset, length);
      return Result<void>();
    };
  }
  auto noting_progress() {
    return [this](std::uint64_t done_bytes) { progress.push_back(done_bytes); };
  }
  auto noting_the_end() {
    return [this](Result<void> outcome) {
      ++done_calls;
      result = std::move(outcome);
    };
  }
  bool has_ended_well() const { return done_calls == 1 && result->has_value(); }
  bool has_ended_with(ErrorCode code) const {
    return done_calls == 1 && !*result && result->error().code == code;
  }
};

TEST_CASE("work in slices covers every byte once, in order, and tells the progress after each slice") {
  Loop loop;
  Record record;
  record.operation = offload_slices(loop, {.total_bytes = 10, .slice_bytes = 4}, record.noting_work(),
                                    record.noting_progress(), record.noting_the_end());
  CHECK(record.done_calls == 0);
  loop.run();
  CHECK(*record.worked == std::vector<Extent>{{0, 4}, {4, 4}, {8, 2}});
  CHECK(record.progress == std::vector<std::uint64_t>{4, 8, 10});
  CHECK(record.has_ended_well());
}

TEST_CASE("work in slices of a whole multiple has no empty last slice") {
  Loop loop;
  Record record;
  record.operation = offload_slices(loop, {.total_bytes = 8, .slice_bytes = 4}, record.noting_work(),
                                    record.noting_progress(), record.noting_the_end());
  loop.run();
  CHECK(*record.worked == std::vector<Extent>{{0, 4}, {4, 4}});
  CHECK(record.has_ended_well());
}

TEST_CASE("work on zero bytes only ends, in a later turn") {
  Loop loop;
  Record record;
  record.operation = offload_slices(loop, {.total_bytes = 0}, record.noting_work(), record.noting_progress(),
                                    record.noting_the_end());
  CHECK(record.done_calls == 0);
  loop.run();
  CHECK(record.worked->empty());
  CHECK(record.progress.empty());
  CHECK(record.has_ended_well());
}

TEST_CASE("the first error ends work in slices") {
  Loop loop;
  Record record;
  record.operation = offload_slices(
      loop, {.total_bytes = 10, .slice_bytes = 4},
      [note = record.noting_work()](std::uint64_t offset, std::uint64_t length) -> Result<void> {
        if (offset == 4) return fail(ErrorCode::disk_full, "writing: no space left");
        return note(offset, length);
      },
      record.noting_progress(), record.noting_the_end());
  loop.run();
  CHECK(*record.worked == std::vector<Extent>{{0, 4}});
  CHECK(record.progress == std::vector<std::uint64_t>{4});
  CHECK(record.has_ended_with(ErrorCode::disk_full));
}

TEST_CASE("cancelling work in slices while one runs: that one ends, no further one begins") {
  Loop loop;
  Record record;
  Gate gate;
  const auto has_started = std::make_shared<std::promise<void>>();
  record.operation = offload_slices(
      loop, {.total_bytes = 10, .slice_bytes = 4},
      [note = record.noting_work(), has_started, passage = gate.passage()](std::uint64_t offset,
                                                                           std::uint64_t length) {
        has_started->set_value();
        passage.wait();
        return note(offset, length);
      },
      record.noting_progress(), record.noting_the_end());
  has_started->get_future().wait();
  record.operation->cancel();
  CHECK(record.done_calls == 0);
  gate.open();
  loop.run();
  CHECK(record.worked->size() == 1);
  CHECK(record.progress.empty());
  CHECK(record.has_ended_with(ErrorCode::cancelled));
}

TEST_CASE("work in slices that is cancelled from on_progress ends with cancelled") {
  std::uint64_t cancel_at = 0;
  SUBCASE("in the middle") {
    cancel_at = 4;
  }
  SUBCASE("after the last slice") {
    cancel_at = 10;
  }
  Loop loop;
  Record record;
  bool is_told_inline = false;
  record.operation = offload_slices(
      loop, {.total_bytes = 10, .slice_bytes = 4}, record.noting_work(),
      [&](std::uint64_t done_bytes) {
        record.progress.push_back(done_bytes);
        if (done_bytes != cancel_at) return;
        record.operation->cancel();
        is_told_inline = record.done_calls > 0;
      },
      record.noting_the_end());
  loop.run();
  CHECK_FALSE(is_told_inline);
  CHECK(record.progress.back() == cancel_at);
  CHECK(record.has_ended_with(ErrorCode::cancelled));
}

TEST_CASE("a deadline cancels work in slices") {
  Loop loop;
  Record record;
  record.operation = offload_slices(
      loop, {.total_bytes = ~std::uint64_t{0}, .slice_bytes = 1},
      [](std::uint64_t, std::uint64_t) { return Result<void>(); }, [](std::uint64_t) {},
      record.noting_the_end());
  Timer deadline(loop, [&] { record.operation->cancel(); });
  deadline.start_once(10);
  loop.run();
  CHECK(record.has_ended_with(ErrorCode::cancelled));
}

TEST_CASE("cancelling work in slices after its end does nothing") {
  Loop loop;
  Record record;
  record.operation = offload_slices(loop, {.total_bytes = 4, .slice_bytes = 4}, record.noting_work(),
                                    record.noting_progress(), record.noting_the_end());
  loop.run();
  record.operation->cancel();
  loop.run();
  CHECK(record.has_ended_well());
}

TEST_CASE("on_progress may destroy work in slices") {
  Loop loop;
  Record record;
  Token token;
  std::string seen;
  record.operation = offload_slices(
      loop, {.total_bytes = 10, .slice_bytes = 4}, record.noting_work(),
      [&seen, &record, held = std::move(token.held)](std::uint64_t) {
        record.operation.reset();
        seen += *held;
      },
      record.noting_the_end());
  loop.run();
  CHECK(seen == "a string that is not stored inline");
  CHECK(record.worked->size() == 1);
  CHECK(record.done_calls == 0);
  CHECK(token.watch.expired());
}

TEST_CASE("the last callback of work in slices may destroy it") {
  Loop loop;
  Record record;
  Token token;
  std::string seen;
  record.operation = offload_slices(loop, {.total_bytes = 4, .slice_bytes = 4}, record.noting_work(),
                                    record.noting_progress(),
                                    [&seen, &record, held = std::move(token.held)](Result<void> result) {
                                      record.operation.reset();
                                      seen = result ? *held : std::string();
                                    });
  loop.run();
  CHECK(seen == "a string that is not stored inline");
  CHECK(token.watch.expired());
}

TEST_CASE("destroying work in slices while one runs: nobody is told, what it owns is freed at its end") {
  Loop loop;
  Record record;
  Gate gate;
  Token token;
  const auto has_started = std::make_shared<std::promise<void>>();
  record.operation = offload_slices(
      loop, {.total_bytes = 10, .slice_bytes = 4},
      [has_started, passage = gate.passage(), held = std::move(token.held)](std::uint64_t, std::uint64_t) {
        has_started->set_value();
        passage.wait();
        return Result<void>();
      },
      record.noting_progress(), record.noting_the_end());
  has_started->get_future().wait();
  record.operation.reset();
  gate.open();
  loop.run();
  CHECK(record.progress.empty());
  CHECK(record.done_calls == 0);
  CHECK(token.watch.expired());
}

}  // namespace
}  // namespace ggufd::loop
