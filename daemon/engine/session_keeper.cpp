#include "engine/session_keeper.h"

#include <dirent.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <memory>

namespace ggufd::engine {
namespace {

// By their numbers: glibc 2.36 declares its functions for C only.
int open_pidfd(pid_t pid) {
  return static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
}

bool send_kill(int pidfd) {
  return syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0) == 0;
}

bool waits_for_end(int pidfd, int timeout_ms) {
  pollfd end{.fd = pidfd, .events = POLLIN, .revents = 0};
  return poll(&end, 1, timeout_ms) > 0;
}

// Kills the process where it is of that session and has not ended, and waits for its end. True where it was.
// A pidfd is of one process: the signal cannot reach another one that got the number meanwhile.
bool kill_member(pid_t pid, pid_t session) {
  if (pid == getpid() || getsid(pid) != session) return false;
  const int pidfd = open_pidfd(pid);
  if (pidfd < 0) return false;
  const bool is_member = getsid(pid) == session && !waits_for_end(pidfd, 0);
  if (is_member && send_kill(pidfd)) waits_for_end(pidfd, -1);
  close(pidfd);
  return is_member;
}

bool kill_members(pid_t session) {
  const std::unique_ptr<DIR, int (*)(DIR*)> processes(opendir("/proc"), closedir);
  bool any = false;
  while (const dirent* entry = processes ? readdir(processes.get()) : nullptr) {
    const auto pid = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));  // 0: not a process
    if (pid > 0 && kill_member(pid, session)) any = true;
  }
  return any;
}

[[noreturn]] void keep(int lifeline) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  prctl(PR_SET_NAME, "ggufd-keeper");
  dup2(lifeline, 0);
  close_range(1, ~0U, 0);
  char nothing = 0;
  while (read(0, &nothing, 1) > 0) continue;
  const pid_t session = getsid(0);
  // The leader's group first and at once: that is nearly always all of it.
  kill(-session, SIGKILL);
  // A member may have started another one before its own end; so until there is none.
  while (kill_members(session)) continue;
  _exit(0);
}

}  // namespace

bool start_session_keeper(int lifeline) {
  const pid_t keeper = fork();
  if (keeper == 0) keep(lifeline);
  // By us, not by itself: before we become the engine, whose group may be killed at any moment.
  return keeper > 0 && setpgid(keeper, keeper) == 0;
}

}  // namespace ggufd::engine
