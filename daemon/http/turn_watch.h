// How long each turn of the event loop takes. Costs no wake-up: it looks when the loop is about to wait
// anyway.
#pragma once

#include <cstdint>

#include "http/exposition.h"
#include "loop/loop.h"

namespace ggufd::http {

class TurnWatch {
 public:
  explicit TurnWatch(loop::Loop& loop);

  // From one wait's end to the next wait's begin, as far as it is seen.
  const Histogram& seconds() const { return seconds_; }

  // Looks no more.
  void stop() { before_wait_.reset(); }

 private:
  void look();

  loop::Loop& loop_;
  loop::HandlePtr<uv_prepare_t> before_wait_;
  Histogram seconds_;
  std::uint64_t last_ns_;
  std::uint64_t last_idle_ns_ = 0;
};

}  // namespace ggufd::http
