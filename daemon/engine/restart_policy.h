// Whether and when an engine that has ended is started again. Knows no clock.
#pragma once

#include <cstdint>
#include <optional>

#include "config/config.h"

namespace ggufd::engine {

// Of one load: llama_server.restart_max restarts, after waits that double from backoff_initial_ms up to
// backoff_max_ms. An engine that was ready for at least min_stable_uptime_s gives both back before its own
// end is counted; with 0 any that was ready does.
class RestartPolicy {
 public:
  explicit RestartPolicy(const config::LlamaServerConfig& server);

  struct Restart {
    std::uint64_t delay_ms = 0;
    std::uint32_t restarts_left = 0;  // after this one
  };
  // The engine has ended, `uptime_ms` after it was ready; 0: it never was (so that one which lasted no
  // millisecond counts as if it had not been). Nothing: the budget is spent.
  std::optional<Restart> ended(std::uint64_t uptime_ms);

  // Restarts that ended() has granted, in all.
  std::uint32_t restarts() const { return restarts_; }
  std::uint32_t restarts_left() const { return restarts_max_ - spent_; }

 private:
  std::uint32_t restarts_max_;
  std::uint64_t min_stable_uptime_ms_;
  std::uint64_t backoff_initial_ms_;
  std::uint64_t backoff_max_ms_;
  std::uint32_t spent_ = 0;  // of the budget
  std::uint32_t restarts_ = 0;
  std::uint64_t next_delay_ms_;
};

}  // namespace ggufd::engine
