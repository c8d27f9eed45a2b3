// A signal, delivered on the loop.
#pragma once

#include <functional>

#include "loop/loop.h"

namespace ggufd::loop {

// Calls on_signal each time the process gets `signal_number`, for as long as this object lives; on_signal may
// destroy it. Does not keep the loop running by itself.
class Signal {
 public:
  Signal(Loop& loop, int signal_number, std::function<void()> on_signal);
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

 private:
  std::function<void()> on_signal_;
  HandlePtr<uv_signal_t> handle_;
};

}  // namespace ggufd::loop
