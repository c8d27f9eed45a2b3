#include "engine/launcher.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/unit/loop/support.h"

namespace ggufd::engine {
namespace {

using loop::Loop;
using loop::test::run_until;

// The launcher is the binary that starts the child: here this test program. The system's C library gives
// constructors the arguments of main().
[[gnu::constructor]] void be_the_launcher(int argc, char** argv) {
  if (const auto exit_code = launch_if_asked(argc, argv)) _exit(*exit_code);
}

Launch shell(std::string script) {
  return {.program = "/bin/sh", .arguments = {"-c", std::move(script)}};
}

// A launched child, what it said and how it ended.
struct Run {
  explicit Run(Loop& of) : loop(of) {}

  void start(const Launch& launch, pid_t parent = getpid()) {
    auto started = start_child(loop, launcher_command(launch, parent),
                               {.on_output = [this](std::string_view bytes) { output += bytes; },
                                .on_exit =
                                    [this](loop::ChildExit how) {
                                      has_ended = true;
                                      exit = how;
                                    }});
    REQUIRE(started.has_value());
    child = std::move(*started);
  }
  void run(const Launch& launch, pid_t parent = getpid()) {
    start(launch, parent);
    loop.run();
    CHECK(has_ended);
  }
  bool wait_for_output(std::string_view expected) {
    return run_until(loop, [&] { return output.find(expected) != std::string::npos; });
  }

  Loop& loop;
  std::string output;
  bool has_ended = false;
  loop::ChildExit exit;
  loop::ChildPtr child;
};

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

// "name=123" in a child's output.
pid_t number_after(std::string_view output, std::string_view name) {
  const std::size_t at = output.find(name);
  return at == std::string_view::npos ? 0 : std::atoi(std::string(output.substr(at + name.size())).c_str());
}

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

TEST_CASE("an engine sees the variables of the list, and no others") {
  const std::vector<std::string> ours = {"PATH=/bin",
                                         "HOME=/root",
                                         "LD_LIBRARY_PATH=/opt/lib",
                                         "GGML_CUDA_FORCE_MMQ=1",
                                         "VK_ICD_FILENAMES=a",
                                         "HIP_VISIBLE_DEVICES=0",
                                         "ROCR_VISIBLE_DEVICES=0",
                                         "ROCM_PATH=/opt/rocm",
                                         "HSA_OVERRIDE_GFX_VERSION=10",
                                         "CUDA_VISIBLE_DEVICES=",
                                         "NVIDIA_VISIBLE_DEVICES=all",
                                         "MESA_VK_DEVICE_SELECT=x",
                                         "RADV_PERFTEST=y"};
  std::vector<std::string> with_others = ours;
  for (const char* other : {"LLAMA_ARG_PORT=1", "LLAMA_API_KEY=x", "PATHS=x", "LD_PRELOAD=x", "path=/x",
                            "XGGML_A=1", "HOME", "HF_TOKEN=secret", "=x", "AIP_MODE=PREDICTION", "GGML"}) {
    with_others.insert(with_others.begin() + 1, other);
  }
  CHECK(engine_environment(with_others) == ours);
  CHECK(engine_environment({}).empty());
}

TEST_CASE("our own environment is all of it") {
  REQUIRE(setenv("GGML_LAUNCHER_TEST", "two words", 1) == 0);
  const auto ours = own_environment();
  CHECK(std::ranges::find(ours, "GGML_LAUNCHER_TEST=two words") != ours.end());
  unsetenv("GGML_LAUNCHER_TEST");
}

TEST_CASE("the launcher's command says what to run, for whom and with what") {
  const auto options = launcher_command({.program = "/opt/llama-server",
                                         .arguments = {"--port", "0"},
                                         .environment = {"A=1"},
                                         .descriptors = {7, 9},
                                         .open_files = 1024,
                                         .stop_grace_ms = 70},
                                        42);
  CHECK(options.arguments ==
        std::vector<std::string>{"__launch", "42", "1024", "2", "/opt/llama-server", "--port", "0"});
  CHECK(options.environment == std::vector<std::string>{"A=1"});
  CHECK(options.descriptors == std::vector<int>{7, 9});
  CHECK(options.stop_grace_ms == 70);
  CHECK(options.has_lifeline);
  CHECK_FALSE(options.has_input);
}

TEST_CASE("other command lines are not for the launcher") {
  const auto asked = [](std::vector<const char*> arguments) {
    arguments.push_back(nullptr);
    return launch_if_asked(static_cast<int>(arguments.size()) - 1, const_cast<char**>(arguments.data()));
  };
  CHECK(asked({}) == std::nullopt);
  CHECK(asked({"ggufd"}) == std::nullopt);
  CHECK(asked({"ggufd", "--config", "__launch"}) == std::nullopt);
  CHECK(asked({"__launch", "--help"}) == std::nullopt);
  SUBCASE("and broken ones are refused before anything is changed") {
    const auto parent = std::to_string(getppid());
    CHECK(asked({"ggufd", "__launch"}) == 64);
    CHECK(asked({"ggufd", "__launch", parent.c_str(), "-", "0"}) == 64);
    CHECK(asked({"ggufd", "__launch", "x", "-", "0", "/bin/true"}) == 64);
    CHECK(asked({"ggufd", "__launch", parent.c_str(), "many", "0", "/bin/true"}) == 64);
    CHECK(asked({"ggufd", "__launch", parent.c_str(), "-", "-1", "/bin/true"}) == 64);
    CHECK(asked({"ggufd", "__launch", parent.c_str(), "-", "999", "/bin/true"}) == 64);
    CHECK(asked({"ggufd", "__launch", parent.c_str(), "-", "2147483647", "/bin/true"}) == 64);
  }
}

TEST_CASE("what is launched gets its arguments and environment as they are") {
  Loop loop;
  Run run(loop);
  run.run(
      {.program = "/bin/sh",
       .arguments = {"-c", "printf '[%s]' \"$0\" \"$@\" \"$A\"; exit 7", "name", "a b", "", "--help", "$c"},
       .environment = {"A=two words"}});
  CHECK(run.output == "[name][a b][][--help][$c][two words]");
  CHECK(run.exit.code == 7);
}

TEST_CASE("what is launched is the child itself, and its own end is told") {
  Loop loop;
  Run run(loop);
  run.run(shell("echo pid=$$; kill -SEGV $$"));
  CHECK(number_after(run.output, "pid=") == run.child->pid());
  CHECK(run.exit.signal_number == SIGSEGV);
}

TEST_CASE(
    "what is launched is in a session of its own, without privileges, core dumps or other people's files") {
  const mode_t before = umask(022);
  Loop loop;
  Run run(loop);
  run.run(shell("umask; ulimit -c; grep NoNewPrivs /proc/$$/status; cut -d' ' -f5,6 /proc/$$/stat; echo $$"));
  umask(before);
  const std::string pid = std::to_string(run.child->pid());
  CHECK(run.output == fmt::format("0077\n0\nNoNewPrivs:\t1\n{} {}\n{}\n", pid, pid, pid));
}

TEST_CASE("what is launched has no signal ignored or blocked") {
  std::signal(SIGPIPE, SIG_IGN);
  Loop loop;
  Run run(loop);
  run.run({.program = "/bin/cat", .arguments = {"/proc/self/status"}});
  for (const char* set : {"SigBlk", "SigIgn"}) {
    CHECK(run.output.find(fmt::format("{}:\t0000000000000000\n", set)) != std::string::npos);
  }
}

TEST_CASE("what is launched gets back the limit of open files") {
  rlimit files{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &files) == 0);
  Loop loop;
  Run run(loop);
  Launch launch = shell("ulimit -Sn; ulimit -Hn");
  launch.open_files = 123;
  run.run(launch);
  CHECK(run.output == fmt::format("123\n{}\n", files.rlim_max == RLIM_INFINITY
                                                   ? std::string("unlimited")
                                                   : std::to_string(files.rlim_max)));
}

TEST_CASE("what is launched has the descriptors it was given, and no others, though we leak some") {
  Loop loop;
  Run run(loop);
  std::array<int, 2> leaked{};
  std::array<int, 2> given{};
  REQUIRE(pipe2(leaked.data(), 0) == 0);
  REQUIRE(pipe2(given.data(), O_CLOEXEC) == 0);
  REQUIRE(write(given[1], "text", 4) == 4);
  close(given[1]);
  Launch launch = shell(
      "cat <&3; for n in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "
      "[ -e /proc/$$/fd/$n ] && echo $n; done; true");
  launch.descriptors = {given[0]};
  run.run(launch);
  CHECK(run.output == "text0\n1\n2\n3\n");
  for (const int end : {given[0], leaked[0], leaked[1]}) close(end);
}

TEST_CASE("the standard input of what is launched is empty, or never says anything") {
  Loop loop;
  Run run(loop);
  Launch launch = shell("readlink /proc/$$/fd/0; [ -e /proc/$$/fd/3 ] || echo no 3; cat");
  SUBCASE("empty") {
    run.run(launch);
    CHECK(run.output.starts_with("/dev/null\n"));
  }
  SUBCASE("it waits") {
    launch.has_input = true;
    run.start(launch);
    REQUIRE(run_until(loop, [&] { return std::ranges::count(run.output, '\n') == 2; }));
    CHECK_FALSE(run.has_ended);
    run.child->cancel();
    loop.run();
    CHECK(run.exit.signal_number == SIGTERM);
    CHECK(run.output.starts_with("pipe:"));
  }
  CHECK(run.output.ends_with("\nno 3\n"));
}

TEST_CASE("a program that cannot be run is told with a sentence") {
  Loop loop;
  Run run(loop);
  run.run({.program = "/nonexistent/llama-server"});
  CHECK(run.exit.code == launch_failed);
  CHECK(run.output == "ggufd: cannot run /nonexistent/llama-server: No such file or directory\n");
}

TEST_CASE("nothing is launched for a parent that has gone") {
  Loop loop;
  Run run(loop);
  run.run(shell("echo up"), getppid());
  CHECK(run.exit.code == launch_failed);
  CHECK(run.output.find("up") == std::string::npos);
}

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
