// A timer on the loop.
#pragma once

#include <cstdint>

#include "loop/loop.h"

namespace ggufd::loop {

// Fires on_fire after a delay, once or again and again. A deadline is a timer whose on_fire cancels an
// operation. Destroying or stopping it means that it does not fire any more. on_fire may destroy the timer.
class Timer {
 public:
  Timer(Loop& loop, Task on_fire);
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Starts over where it was running. 0 means soon: in a later turn.
  void start_once(std::uint64_t delay_ms);
  void start_repeating(std::uint64_t interval_ms);
  void stop();
  bool is_running() const;

 private:
  void start(std::uint64_t delay_ms, std::uint64_t repeat_ms);

  Loop& loop_;
  Task on_fire_;
  HandlePtr<uv_timer_t> handle_;
};

}  // namespace ggufd::loop
