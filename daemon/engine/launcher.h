// Starts an engine so that it outlives nobody: our own binary, run again with a first argument that people do
// not use, puts the process in order and then becomes the engine.
//
// Between its start and the engine's it
//   - has no way to more privileges (PR_SET_NO_NEW_PRIVS), dumps no core, makes files for the user only
//     (umask 077), has the soft limit of open files that the daemon was started with, no signal ignored or
//     blocked, and no descriptors but 0, 1, 2 and those that it was given;
//   - asks to be killed when its parent ends (PR_SET_PDEATHSIG), and ends at once where that has already
//     happened. The kernel sends that signal at the end of the *thread* that started the child: libuv starts
//     children on the loop's thread, which lasts as long as the daemon.
//
// That signal reaches the engine's own process only, and the engine may be a wrapper script with children. So
// a second process, the keeper, stays beside it: it holds nothing but the child's lifeline (loop/child.h),
// waits for its end and then kills every process of the engine's session, in whichever group, itself last. So
// nothing is left behind after an orderly stop, a crash of the engine, or a `kill -9` of the daemon. The
// keeper is in that session, so that its number cannot become another session's meanwhile, and in a group of
// its own, so that signals for the engine do not reach it. It is no ancestor of the engine: the engine's exit
// is seen by the daemon as it is, and its pid is the one that the daemon has started. A keeper that is killed
// leaves the parent-death signal and the killing of the group at the engine's end.
//
// Out of reach: a descendant that makes a session of its own (setsid, a container's runtime).
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "loop/child.h"

namespace ggufd::engine {

struct Launch {
  std::string program;                   // absolute path of what to run
  std::vector<std::string> arguments;    // without the program's name
  std::vector<std::string> environment;  // all of it: engine_environment()
  std::vector<int> descriptors;          // the engine's 3, 4 and so on
  std::optional<rlim_t> open_files;      // its soft RLIMIT_NOFILE; none: as ours
  bool has_input = false;                // as in loop::ChildOptions
  std::uint64_t stop_grace_ms = 5000;    // as in loop::ChildOptions
};

// What start_child() is to be given; `parent` is this process, whose main() must begin with
// launch_if_asked(): it is started again, and would otherwise do what it does without arguments that it
// knows. Its on_exit tells launch_failed where the launcher has not become the engine, and the last line of
// the output why.
loop::ChildOptions launcher_command(const Launch& launch, pid_t parent);
inline constexpr int launch_failed = 127;

// main()'s first step: where this process was started by launcher_command(), becomes the engine and does not
// return, or returns what to exit with. Nothing where it is any other process. Uses no constructed globals.
std::optional<int> launch_if_asked(int argc, char** argv);

// Of `ours` ("NAME=value"), what an engine may see: PATH, HOME, LD_LIBRARY_PATH and what configures ggml and
// the drivers of graphics cards (GGML_, VK_, HIP_, ROCR_, ROCM_, HSA_, CUDA_, NVIDIA_, MESA_, RADV_). Not
// LLAMA_ARG_*, which would override the command line's defaults.
std::vector<std::string> engine_environment(std::span<const std::string> ours);
bool is_for_engines(std::string_view variable_name);
// This process's.
std::vector<std::string> own_environment();

}  // namespace ggufd::engine
