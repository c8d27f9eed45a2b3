#include "engine/launcher.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/unit/engine/launcher_support.h"

namespace ggufd::engine {
namespace {

using namespace test;

// The launcher is the binary that starts the child: here this test program. The system's C library gives
// constructors the arguments of main().
[[gnu::constructor]] void be_the_launcher(int argc, char** argv) {
  if (const auto exit_code = launch_if_asked(argc, argv)) _exit(*exit_code);
}

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

}  // namespace
}  // namespace ggufd::engine
