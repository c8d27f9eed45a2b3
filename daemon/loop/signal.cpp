#include "loop/signal.h"

#include <utility>

namespace ggufd::loop {

Signal::Signal(Loop& loop, int signal_number, std::function<void()> on_signal)
    : on_signal_(std::move(on_signal)),
      handle_(
          make_handle<uv_signal_t>(this, [&](auto* handle) { return uv_signal_init(loop.raw(), handle); })) {
  uv_signal_start(
      handle_.get(),
      [](uv_signal_t* handle, int) {
        // A copy of the function: it may destroy the object while it runs.
        const std::function<void()> notify = static_cast<Signal*>(handle->data)->on_signal_;
        notify();
      },
      signal_number);
  uv_unref(reinterpret_cast<uv_handle_t*>(handle_.get()));
}

}  // namespace ggufd::loop
