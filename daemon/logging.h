// The daemon's log, on stderr.
#pragma once

#include <chrono>

#include "config/config.h"

namespace ggufd {

// Sets spdlog's default logger up. Lines are written by a thread of its own: a full pipe behind stderr loses
// the oldest waiting lines and never blocks the loop.
void start_logging(const config::LogConfig& config);
// From now on.
void set_log_level(config::LogLevel level);
// Writes what waits and ends that thread. False where whoever reads stderr does not, for `log_limit`: the
// thread is still writing, and the process can only be left by _exit().
inline constexpr std::chrono::milliseconds log_limit{500};
bool stop_logging();

}  // namespace ggufd
