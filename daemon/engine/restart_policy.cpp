#include "engine/restart_policy.h"

#include <algorithm>

namespace ggufd::engine {

RestartPolicy::RestartPolicy(const config::LlamaServerConfig& server)
    : restarts_max_(server.restart_max),
      min_stable_uptime_ms_(std::uint64_t{server.min_stable_uptime_s} * 1000),
      backoff_initial_ms_(server.backoff_initial_ms),
      backoff_max_ms_(server.backoff_max_ms),
      next_delay_ms_(server.backoff_initial_ms) {}

std::optional<RestartPolicy::Restart> RestartPolicy::ended(std::uint64_t uptime_ms) {
  if (uptime_ms > 0 && uptime_ms >= min_stable_uptime_ms_) {
    spent_ = 0;
    next_delay_ms_ = backoff_initial_ms_;
  }
  if (spent_ == restarts_max_) return std::nullopt;
  ++spent_;
  ++restarts_;
  const std::uint64_t delay_ms = std::min(next_delay_ms_, backoff_max_ms_);
  next_delay_ms_ = delay_ms * 2;
  return Restart{.delay_ms = delay_ms, .restarts_left = restarts_left()};
}

}  // namespace ggufd::engine
