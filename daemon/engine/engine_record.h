// Engines that a daemon has left behind, found again by the next one. The launcher and its keeper
// (engine/launcher.h) leave none; this is for the day when both of them were killed as well.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "protocol/error.h"

namespace ggufd::engine {

// Each running engine has a file ".<model>.engine", 0600, in the runtime folder, with what the kernel says of
// its process: pid, start time (field 22 of /proc/<pid>/stat, clock ticks since the boot), the boot's id
// (/proc/sys/kernel/random/boot_id) and its session. No other process, now or later, has the same of these.

// Written when the engine has been started, over what is there. `engine` leads a session of its own, as all
// do that the launcher starts. `engine_failed` where it is no such process, `io` where the file cannot be
// written.
Result<void> record_engine(const std::string& runtime_folder, std::string_view model, pid_t engine);
// Removes it, when the engine has ended.
void forget_engine(const std::string& runtime_folder, std::string_view model);

inline constexpr int left_engines_wait_ms = 5000;

// For a daemon that starts and holds the folder's lock: kills what the recorded engines' sessions have left
// and waits for their end, no longer than left_engines_wait_ms in all; then removes the records. Blocks.
// Nobody is killed but the members of a session whose leader is, by all four facts, the recorded process. A
// record of which anything is odd is removed and believed in nothing.
//
// A sentence for each engine that it has ended; and for each that could not be ended, whose record stays.
std::vector<std::string> end_left_engines(const std::string& runtime_folder);

}  // namespace ggufd::engine
