#include "engine/session_keeper.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/unit/engine/launcher_support.h"

namespace ggufd::engine {
namespace {

using namespace test;

// A process that may or may not be our child, watched by its number while it still runs.
class Process {
 public:
  explicit Process(pid_t pid) : pidfd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {}
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() { close(pidfd_); }

  bool ends() const { return ends_within(static_cast<int>(loop::test::limit_ms)); }
  bool has_ended() const { return ends_within(0); }
  void kill() const { syscall(SYS_pidfd_send_signal, pidfd_, SIGKILL, nullptr, 0); }

 private:
  bool ends_within(int timeout_ms) const {
    pollfd end{.fd = pidfd_, .events = POLLIN, .revents = 0};
    int ready = 0;
    do {
      ready = poll(&end, 1, timeout_ms);
    } while (ready < 0 && errno == EINTR);
    return ready == 1;
  }

  int pidfd_;
};

// Every process of a session that runs, but for `besides`.
std::vector<pid_t> members(pid_t session, pid_t besides = 0) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid > 0 && pid != besides && getsid(pid) == session) found.push_back(pid);
  }
  return found;
}

std::vector<std::unique_ptr<Process>> watch(const std::vector<pid_t>& pids) {
  std::vector<std::unique_ptr<Process>> watched;
  for (const pid_t pid : pids) watched.push_back(std::make_unique<Process>(pid));
  return watched;
}

// The daemon's part, in a process of its own that the tests may kill: launches a script, and passes on what
// it says.
class Daemon {
 public:
  explicit Daemon(const Launch& launch) {
    REQUIRE(pipe2(output_.data(), O_CLOEXEC) == 0);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) serve(launch, output_[1]);
    close(std::exchange(output_[1], -1));
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon() {
    kill_it();
    close(output_[0]);
  }

  // Reads what the script says until `expected` came.
  std::string wait_for_output(std::string_view expected) const {
    std::string text;
    std::array<char, 256> bytes{};
    while (text.find(expected) == std::string::npos) {
      const ssize_t count = read(output_[0], bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) break;
      text.append(bytes.data(), static_cast<std::size_t>(count));
    }
    return text;
  }
  void kill_it() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    waitpid(std::exchange(pid_, 0), nullptr, 0);
  }

 private:
  [[noreturn]] static void serve(const Launch& launch, int output) {
    Loop loop;
    auto child = start_child(
        loop, launcher_command(launch, getpid()),
        {.on_output = [output](std::string_view text) { (void)!write(output, text.data(), text.size()); }});
    loop.run();
    _exit(0);
  }

  pid_t pid_ = 0;
  std::array<int, 2> output_{};
};

// A wrapper script with a child in its group and one in a group of its own, which ignores SIGTERM and has a
// child too. (set -m without a terminal is bash's.)
Launch family() {
  return {.program = "/bin/bash",
          .arguments = {"-c", R"(
    trap 'set +m; sleep 600 & echo pid=$$ up' USR1
    set -m
    sh -c 'trap "" TERM INT HUP; sleep 600 & kill -USR1 "$0"; wait' $$ &
    while :; do wait; done)"},
          .environment = {"PATH=/usr/bin:/bin"}};
}

bool has_a_family(pid_t engine) {
  std::set<pid_t> groups;
  const auto pids = members(engine);
  for (const pid_t pid : pids) groups.insert(getpgid(pid));
  // The wrapper's group, that of its child, and the keeper's.
  return pids.size() >= 5 && groups.size() == 3;
}

TEST_CASE("a daemon that is killed leaves none of its engine's processes behind") {
  Daemon daemon(family());
  const std::string output = daemon.wait_for_output("up");
  const pid_t engine = number_after(output, "pid=");
  REQUIRE(engine > 1);
  REQUIRE(has_a_family(engine));
  const auto watched = watch(members(engine));
  for (const auto& process : watched) CHECK_FALSE(process->has_ended());
  daemon.kill_it();
  for (const auto& process : watched) CHECK(process->ends());
}

TEST_CASE("a daemon that is killed as soon as it has started an engine leaves nothing behind") {
  // The session's number is not known here: what is left would hold this pipe.
  loop::test::Lifeline all;
  for (int i = 0; i < 20; ++i) {
    Daemon daemon(shell("sleep 600 & echo up; wait"));
    if (i % 2 == 0) daemon.wait_for_output("up");
    daemon.kill_it();
  }
  all.let_go();
  CHECK(all.all_ended());
}

TEST_CASE("an engine that is killed takes along what is left of its session") {
  Loop loop;
  Run run(loop);
  run.start(family());
  REQUIRE(run.wait_for_output("up"));
  REQUIRE(has_a_family(run.child->pid()));
  const auto watched = watch(members(run.child->pid()));
  kill(run.child->pid(), SIGKILL);
  loop.run();
  CHECK(run.exit.signal_number == SIGKILL);
  for (const auto& process : watched) CHECK(process->ends());
}

TEST_CASE("destroying an engine ends its session") {
  Loop loop;
  Run run(loop);
  run.start(family());
  REQUIRE(run.wait_for_output("up"));
  REQUIRE(has_a_family(run.child->pid()));
  const auto watched = watch(members(run.child->pid()));
  run.child.reset();
  for (const auto& process : watched) CHECK(process->ends());
}

TEST_CASE("a cancelled engine is asked with SIGTERM, and the keeper does not mind") {
  Loop loop;
  Run run(loop);
  run.start(shell("trap 'echo bye; exit 5' TERM; echo up; sleep 600 & wait"));
  REQUIRE(run.wait_for_output("up"));
  run.child->cancel();
  loop.run();
  CHECK(run.output == "up\nbye\n");
  CHECK(run.exit.code == 5);
}

TEST_CASE("an engine whose keeper was killed still ends with the daemon") {
  Daemon daemon(shell("echo pid=$$ up; exec sleep 600"));
  const pid_t engine = number_after(daemon.wait_for_output("up"), "pid=");
  REQUIRE(engine > 1);
  const Process process(engine);
  const auto others = members(engine, engine);
  REQUIRE(others.size() == 1);
  const Process keeper(others[0]);
  keeper.kill();
  CHECK(keeper.ends());
  CHECK_FALSE(process.has_ended());
  daemon.kill_it();
  CHECK(process.ends());
}

}  // namespace
}  // namespace ggufd::engine
