// A child process under supervision.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "loop/loop.h"
#include "loop/operation.h"

namespace ggufd::loop {

struct ChildOptions {
  std::string program;                   // absolute path
  std::vector<std::string> arguments;    // without the program's name
  std::vector<std::string> environment;  // "NAME=value", all of it: nothing is inherited
  std::uint64_t stop_grace_ms = 5000;    // from SIGTERM to SIGKILL, and from its end to that of its output
  // Open ones of ours that it gets besides, numbered 3, 4 and so on; ours stay open. Of the rest
  // it gets those that are not close-on-exec, as all that we open are.
  std::vector<int> descriptors;
  // One more, the next number: a pipe that nothing is ever written to. Reading it waits until the child has
  // ended or its operation has been destroyed, or this process has ended in whatever way.
  bool has_lifeline = false;
  // Its standard input is a pipe that nothing is written to, and that ends with cancel(); else it is empty.
  bool has_input = false;
};

// A child that has been started.
class Child : public Operation {
 public:
  // What to name it by to people. The number may be another process's as soon as on_exit has been called.
  virtual pid_t pid() const = 0;
  // SIGKILL to the group, at once; on_exit still comes.
  virtual void kill() = 0;
};

using ChildPtr = std::unique_ptr<Child>;

// How it ended: an exit code, or a signal's number where that is not 0.
struct ChildExit {
  std::int64_t code = 0;
  int signal_number = 0;
};

// Runs a program in a process group of its own. Its standard output and error are always read, so that it
// never waits for us. on_exit comes once: after its end and after the last of its output, which is waited for
// no longer than stop_grace_ms: a descendant that has left the group may hold it open. Either callback may
// destroy the operation; `output` is valid during the call.
//   cancel()    SIGTERM to the group and the end of its input, SIGKILL after stop_grace_ms; on_exit still
//   comes. destroying  SIGKILL to the group; the process is reaped, on_exit does not come.
// `engine_failed` where the program cannot be started.
struct ChildCallbacks {
  std::function<void(std::string_view output)> on_output;
  std::move_only_function<void(ChildExit)> on_exit;
};
Result<ChildPtr> start_child(Loop& loop, const ChildOptions& options, ChildCallbacks callbacks);

}  // namespace ggufd::loop
