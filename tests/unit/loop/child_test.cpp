#include "loop/child.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "tests/unit/loop/child_support.h"

namespace ggufd::loop {
namespace {

using namespace test;

TEST_CASE("a child's exit code is told once") {
  Loop loop;
  Run child(loop);
  child.start(shell("exit 7"));
  CHECK(child.exits == 0);
  loop.run();
  CHECK(child.exits == 1);
  CHECK(child.exit.code == 7);
  CHECK(child.exit.signal_number == 0);
  CHECK_FALSE(has_children());
}

TEST_CASE("the signal that ended a child is told") {
  Loop loop;
  Run child(loop);
  child.start(shell("kill -SEGV $$"));
  loop.run();
  CHECK(child.exits == 1);
  CHECK(child.exit.signal_number == SIGSEGV);
}

TEST_CASE("a child gets its arguments as they are") {
  Loop loop;
  Run child(loop);
  child.start({.program = "/bin/sh", .arguments = {"-c", "printf '[%s]' \"$@\"", "name", "a b", "", "$c"}});
  loop.run();
  CHECK(child.output == "[a b][][$c]");
}

TEST_CASE("a child's environment is exactly what it is given") {
  REQUIRE(setenv("LLAMA_ARG_PORT", "1", 1) == 0);
  Loop loop;
  Run child(loop);
  SUBCASE("two variables") {
    child.start({.program = "/usr/bin/env", .environment = {"A=1", "B=two words"}});
    loop.run();
    CHECK(child.output == "A=1\nB=two words\n");
  }
  SUBCASE("none") {
    child.start({.program = "/usr/bin/env"});
    loop.run();
    CHECK(child.output.empty());
    CHECK(child.exits == 1);
  }
  unsetenv("LLAMA_ARG_PORT");
}

TEST_CASE("a child's standard input is empty") {
  Loop loop;
  Run child(loop);
  child.start({.program = "/bin/cat"});
  loop.run();
  CHECK(child.exits == 1);
  CHECK(child.output.empty());
}

TEST_CASE("a child starts with the system's default for a signal that we ignore") {
  std::signal(SIGPIPE, SIG_IGN);
  Loop loop;
  Run child(loop);
  child.start(shell("kill -PIPE $$; echo survived"));
  loop.run();
  CHECK(child.exit.signal_number == SIGPIPE);
}

TEST_CASE("a child gets the descriptors that it is given, from 3 on") {
  Loop loop;
  TempFolder folder;
  Descriptor first(folder.file("first"), "one");
  Descriptor second(folder.file("second"), "two");
  Run child(loop);
  ChildOptions options = shell("cat <&4; cat <&3");
  options.descriptors = {first.number(), second.number()};
  child.start(options);
  loop.run();
  CHECK(child.output == "twoone");
  CHECK(first.is_open());
  CHECK(second.is_open());
}

TEST_CASE("descriptors may be given in any order, one of them twice") {
  Loop loop;
  TempFolder folder;
  Descriptor first(folder.file("first"), "one");
  Descriptor second(folder.file("second"), "two");
  Run child(loop);
  ChildOptions options = shell("head -c 3 <&3; head -c 3 <&4; cat /proc/$$/fd/5");
  options.descriptors = {second.number(), first.number(), second.number()};
  child.start(options);
  loop.run();
  CHECK(child.output == "twoonetwo");
}

TEST_CASE("a child that cannot be started leaves no descriptor open") {
  Loop loop;
  const ChildOptions options{.program = "/nonexistent/llama-server", .has_lifeline = true};
  const auto try_to_start = [&] {
    CHECK_FALSE(start_child(loop, options, {}).has_value());
    loop.run();
  };
  try_to_start();  // libuv opens what all children share with the first
  const auto before = open_descriptors();
  try_to_start();
  CHECK(open_descriptors() == before);
}

TEST_CASE("a child's lifeline is the next number, and ends with the child") {
  Loop loop;
  Lifeline family;
  Run child(loop);
  // What waits for the lifeline has left the group, and holds the child's output.
  ChildOptions options = shell("setsid sh -c 'echo up; cat <&3; echo cut' & exec sleep 60");
  options.has_lifeline = true;
  options.stop_grace_ms = 3'600'000;
  child.start(options);
  family.let_go();
  REQUIRE(child.wait_for_output("up"));
  CHECK_FALSE(child.wait_for_output_now("cut"));
  kill(-child.operation->pid(), SIGKILL);
  REQUIRE(child.wait_for_exit());
  CHECK(child.output == "up\ncut\n");
  CHECK(child.exit.signal_number == SIGKILL);
  CHECK(family.all_ended());
}

TEST_CASE("destroying a child cuts its lifeline") {
  Loop loop;
  Lifeline family;
  Run child(loop);
  ChildOptions options = shell("setsid sh -c 'echo up; cat <&3' & exec sleep 60");
  options.has_lifeline = true;
  child.start(options);
  family.let_go();
  REQUIRE(child.wait_for_output("up"));
  CHECK_FALSE(family.all_ended_now());
  child.operation.reset();
  CHECK(family.all_ended());
}

TEST_CASE("a child's input says nothing, and ends when it is cancelled") {
  Loop loop;
  Run child(loop);
  ChildOptions options = shell("trap '' TERM; echo up; cat; echo over");
  options.has_input = true;
  options.stop_grace_ms = 3'600'000;
  child.start(options);
  REQUIRE(child.wait_for_output("up"));
  CHECK_FALSE(child.wait_for_output_now("over"));
  child.operation->cancel();
  REQUIRE(child.wait_for_exit());
  CHECK(child.output == "up\nover\n");
}

TEST_CASE("a child's lifeline is nobody else's") {
  Loop loop;
  Lifeline family;
  Run child(loop);
  ChildOptions options = shell("setsid sh -c 'echo up; cat <&3' & exec sleep 60");
  options.has_lifeline = true;
  child.start(options);
  family.let_go();
  Run other(loop);
  other.start(shell("echo up; exec sleep 60"));
  REQUIRE(other.wait_for_output("up"));
  child.operation.reset();
  CHECK(family.all_ended());
}

TEST_CASE("both outputs of a child come, all of it before on_exit") {
  Loop loop;
  Run child(loop);
  child.start(shell("head -c 1048576 /dev/zero; head -c 1048576 /dev/zero >&2; exit 3"));
  loop.run();
  CHECK(child.output.size() == 2 * 1048576);
  CHECK(child.output_at_exit == 2 * 1048576);
  CHECK(child.exit.code == 3);
}

TEST_CASE("a child without on_output does not wait for anybody to read it") {
  Loop loop;
  std::optional<ChildExit> exit;
  const auto child =
      start_child(loop, shell("head -c 1048576 /dev/zero"), {.on_exit = [&](ChildExit how) { exit = how; }});
  REQUIRE(child.has_value());
  loop.run();
  REQUIRE(exit.has_value());
  CHECK(exit->code == 0);
}

TEST_CASE("a program that is not there cannot be started") {
  Loop loop;
  ChildOptions options{.program = "/nonexistent/llama-server"};
  bool is_told = false;
  const auto child = start_child(loop, options, {.on_exit = [&](ChildExit) { is_told = true; }});
  REQUIRE_FALSE(child.has_value());
  CHECK(child.error().code == ErrorCode::engine_failed);
  CHECK(child.error().message.find("/nonexistent/llama-server") != std::string::npos);
  loop.run();
  CHECK_FALSE(is_told);
  CHECK_FALSE(has_children());
}

TEST_CASE("a file that is not a program cannot be started") {
  Loop loop;
  const auto child = start_child(loop, {.program = "/etc/passwd"}, {.on_exit = [](ChildExit) {}});
  REQUIRE_FALSE(child.has_value());
  CHECK(child.error().code == ErrorCode::engine_failed);
}

}  // namespace
}  // namespace ggufd::loop
