// The event loop: one thread, never blocked. Everything of this folder belongs to one Loop and is used on its
// thread only, but for work that is offloaded to the pool (loop/offload.h).
#pragma once

#include <uv.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "loop/handle.h"

namespace ggufd::loop {

using Task = std::move_only_function<void()>;

class Loop {
 public:
  Loop();
  // Every object of the loop must be gone by now, but for those that a task owns: tasks that have not run are
  // dropped. Runs the loop dry, so that the handles are closed and freed and work on the pool has ended.
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Until nothing is left that could produce an event.
  void run();

  // Calls `task` once, after the callbacks of this turn and before the loop waits again. Tasks run in the
  // order in which they came, those that a task adds included.
  void at_end_of_turn(Task task);

  // Milliseconds of a clock that never goes back; constant during a turn.
  std::uint64_t now_ms() const { return uv_now(&loop_); }

  uv_loop_t* raw() { return &loop_; }

 private:
  void run_tasks();

  uv_loop_t loop_;
  HandlePtr<uv_prepare_t> before_wait_;
  std::vector<Task> tasks_;
};

}  // namespace ggufd::loop
