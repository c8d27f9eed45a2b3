// Time that has passed, for the last line of a verb.
#pragma once

#include <chrono>
#include <cstdint>

namespace ggufd::ctl {

inline std::uint64_t elapsed_ms(std::chrono::steady_clock::time_point since) {
  const auto elapsed = std::chrono::steady_clock::now() - since;
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(elapsed).count());
}

}  // namespace ggufd::ctl
