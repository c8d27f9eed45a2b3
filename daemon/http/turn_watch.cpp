#include "http/turn_watch.h"

#include <algorithm>

namespace ggufd::http {

TurnWatch::TurnWatch(loop::Loop& loop)
    : loop_(loop),
      before_wait_(loop::make_handle<uv_prepare_t>(
          this, [&](auto* handle) { return uv_prepare_init(loop.raw(), handle); })),
      last_ns_(uv_hrtime()) {
  // libuv counts how long it waits; what is left of the time is the turn.
  uv_loop_configure(loop.raw(), UV_METRICS_IDLE_TIME);
  uv_prepare_start(before_wait_.get(), [](uv_prepare_t* handle) {
    if (handle->data != nullptr) static_cast<TurnWatch*>(handle->data)->look();
  });
  uv_unref(reinterpret_cast<uv_handle_t*>(before_wait_.get()));  // keeps no loop alive
}

void TurnWatch::look() {
  const std::uint64_t now_ns = uv_hrtime();
  const std::uint64_t idle_ns = uv_metrics_idle_time(loop_.raw());
  const std::uint64_t passed_ns = now_ns - last_ns_;
  const std::uint64_t waited_ns = idle_ns - last_idle_ns_;
  seconds_.observe(static_cast<double>(passed_ns - std::min(waited_ns, passed_ns)) / 1e9);
  last_ns_ = now_ns;
  last_idle_ns_ = idle_ns;
}

}  // namespace ggufd::http
