// The daemon's log, on stderr.
#pragma once

#include "config/config.h"

namespace ggufd {

// Sets spdlog's default logger up. Lines are written by a thread of its own: a full pipe behind stderr loses
// the oldest waiting lines and never blocks the loop.
void start_logging(const config::LogConfig& config);
// Writes what waits and ends that thread.
void stop_logging();

}  // namespace ggufd
