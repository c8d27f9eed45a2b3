#include "loop/timer.h"

#include <algorithm>
#include <utility>

namespace ggufd::loop {
namespace {

// With 0, a timer that starts itself again would fire again within the same turn, for ever, and one that
// repeats would fire once.
constexpr std::uint64_t soonest_ms = 1;

}  // namespace

Timer::Timer(Loop& loop, Task on_fire)
    : loop_(loop), on_fire_(std::move(on_fire)), handle_(make_handle<uv_timer_t>(this, [&](auto* handle) {
        return uv_timer_init(loop.raw(), handle);
      })) {}

void Timer::start_once(std::uint64_t delay_ms) {
  start(std::max(delay_ms, soonest_ms), 0);
}

void Timer::start_repeating(std::uint64_t interval_ms) {
  const std::uint64_t repeat_ms = std::max(interval_ms, soonest_ms);
  start(repeat_ms, repeat_ms);
}

void Timer::start(std::uint64_t delay_ms, std::uint64_t repeat_ms) {
  // libuv counts from the begin of the turn; a long turn must not shorten the delay. (uv_update_time would
  // move the turn's time, and with it make timers due that the turn then goes on with.)
  const std::uint64_t clock_ms = uv_hrtime() / 1'000'000;
  const std::uint64_t turn_ms = loop_.now_ms();
  const std::uint64_t elapsed_ms = clock_ms > turn_ms ? clock_ms - turn_ms : 0;
  uv_timer_start(
      handle_.get(),
      [](uv_timer_t* handle) {
        auto& timer = *static_cast<Timer*>(handle->data);
        // on_fire may destroy the timer and with it the function that is running: it runs from here and goes
        // back only where the timer is still there.
        Task on_fire = std::move(timer.on_fire_);
        on_fire();
        if (handle->data != nullptr) static_cast<Timer*>(handle->data)->on_fire_ = std::move(on_fire);
      },
      delay_ms + elapsed_ms, repeat_ms);
}

void Timer::stop() {
  uv_timer_stop(handle_.get());
}

bool Timer::is_running() const {
  return uv_is_active(reinterpret_cast<const uv_handle_t*>(handle_.get())) != 0;
}

}  // namespace ggufd::loop
