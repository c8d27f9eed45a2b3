// Work that nobody waits for.
#include <atomic>
#include <memory>
#include <thread>

#include "loop/offload.h"
#include "tests/unit/loop/support.h"

namespace ggufd::loop {
namespace {

using test::Gate;
using test::Token;

TEST_CASE("detached work is done on the pool, and what it owns is freed") {
  Loop loop;
  Token token;
  std::thread::id ran_on;
  offload_detached(loop, [&ran_on, held = std::move(token.held)] { ran_on = std::this_thread::get_id(); });
  CHECK_FALSE(token.watch.expired());
  loop.run();
  CHECK(ran_on != std::thread::id());
  CHECK(ran_on != std::this_thread::get_id());
  CHECK(token.watch.expired());
}

TEST_CASE("detached work that is still queued when the loop ends is done all the same") {
  constexpr int jobs = 20;
  std::atomic<int> done = 0;
  {
    Gate gate;
    Loop loop;
    for (int i = 0; i < jobs; ++i) {
      offload_detached(loop, [&done, passage = gate.passage()] {
        passage.wait();
        ++done;
      });
    }
    CHECK(done == 0);
    gate.open();
  }
  CHECK(done == jobs);
}

TEST_CASE("the loop goes on while detached work waits") {
  Loop loop;
  Gate gate;
  std::atomic<bool> is_done = false;
  offload_detached(loop, [&is_done, passage = gate.passage()] {
    passage.wait();
    is_done = true;
  });
  bool has_fired = false;
  Timer timer(loop, [&] {
    has_fired = !is_done;
    gate.open();
  });
  timer.start_once(1);
  loop.run();
  CHECK(has_fired);
  CHECK(is_done);
}

}  // namespace
}  // namespace ggufd::loop
