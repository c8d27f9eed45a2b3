// Signals as something that a poll can see, for as long as the terminal's cursor is hidden.
#pragma once

#include <csignal>
#include <optional>

namespace ggufd::ctl {

// Holds back SIGINT, SIGTERM, SIGHUP, SIGTSTP and SIGWINCH of this thread and hands them out by next(). Those
// that the process ignores (nohup) stay ignored.
class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // Readable while next() has something; -1 where the system had no descriptor left, then nothing is held
  // back.
  int descriptor() const { return descriptor_; }
  // Never waits.
  std::optional<int> next();

 private:
  int descriptor_ = -1;
  sigset_t before_{};
};

}  // namespace ggufd::ctl
