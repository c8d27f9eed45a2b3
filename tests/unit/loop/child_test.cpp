#include "loop/child.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <string>

#include "tests/unit/loop/support.h"

namespace ggufd::loop {
namespace {

using test::has_children;
using test::Lifeline;
using test::run_until;
using test::Stopwatch;
using test::TempFolder;
using test::Token;

ChildOptions shell(std::string script) {
  return {.program = "/bin/sh", .arguments = {"-c", std::move(script)}, .environment = {}};
}

// A child, what it said and how it ended.
struct Run {
  explicit Run(Loop& of) : loop(of) {}

  void start(const ChildOptions& options) {
    auto started = start_child(loop, options,
                               {.on_output = [this](std::string_view bytes) { output += bytes; },
                                .on_exit =
                                    [this](ChildExit how) {
                                      ++exits;
                                      exit = how;
                                      output_at_exit = output.size();
                                    }});
    REQUIRE(started.has_value());
    operation = std::move(*started);
  }
  bool wait_for_output(std::string_view expected) {
    return run_until(loop, [&] { return output.find(expected) != std::string::npos; });
  }
  bool wait_for_output_now(std::string_view expected) {
    uv_run(loop.raw(), UV_RUN_NOWAIT);
    return output.find(expected) != std::string::npos;
  }
  bool wait_for_exit() {
    return run_until(loop, [&] { return exits > 0; });
  }

  Loop& loop;
  std::string output;
  std::size_t output_at_exit = 0;
  int exits = 0;
  ChildExit exit;
  ChildPtr operation;
};

// A file with a text in it, open.
class Descriptor {
 public:
  Descriptor(const std::string& path, std::string_view text)
      : number_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    REQUIRE(pwrite(number_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(number_); }
  int number() const { return number_; }
  bool is_open() const { return fcntl(number_, F_GETFD) == FD_CLOEXEC; }

 private:
  int number_;
};

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

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

TEST_CASE("cancelling a child asks it with SIGTERM and on_exit comes later") {
  Loop loop;
  Run child(loop);
  child.start(shell("echo up; exec sleep 60"));
  REQUIRE(child.wait_for_output("up"));
  child.operation->cancel();
  child.operation->cancel();
  CHECK(child.exits == 0);
  loop.run();
  CHECK(child.exits == 1);
  CHECK(child.exit.signal_number == SIGTERM);
}

TEST_CASE("a cancelled child may end in its own way") {
  Loop loop;
  Run child(loop);
  child.start(shell("trap 'echo bye; exit 5' TERM; echo up; sleep 60 & wait"));
  REQUIRE(child.wait_for_output("up"));
  child.operation->cancel();
  loop.run();
  CHECK(child.exit.code == 5);
  CHECK(child.output == "up\nbye\n");
}

TEST_CASE("a cancelled child that ignores SIGTERM gets SIGKILL after its grace") {
  Loop loop;
  Run child(loop);
  ChildOptions options = shell("trap '' TERM; echo up; exec sleep 60");
  options.stop_grace_ms = 50;
  child.start(options);
  REQUIRE(child.wait_for_output("up"));
  const Stopwatch watch;
  child.operation->cancel();
  REQUIRE(child.wait_for_exit());
  CHECK(child.exit.signal_number == SIGKILL);
  CHECK(watch.elapsed_ms() >= 49);
  loop.run();
  CHECK(child.exits == 1);
}

TEST_CASE("a deadline cancels a child") {
  Loop loop;
  Run child(loop);
  child.start({.program = "/bin/sleep", .arguments = {"60"}});
  Timer deadline(loop, [&] { child.operation->cancel(); });
  deadline.start_once(10);
  loop.run();
  CHECK(child.exits == 1);
  CHECK(child.exit.signal_number == SIGTERM);
}

TEST_CASE("cancelling a child after its end does nothing") {
  Loop loop;
  Run child(loop);
  child.start(shell("exit 0"));
  loop.run();
  child.operation->cancel();
  CHECK(uv_loop_alive(loop.raw()) == 0);
  CHECK(child.exits == 1);
}

TEST_CASE("cancelling a child ends its whole group, even those that ignore SIGTERM") {
  Loop loop;
  Lifeline family;
  Run child(loop);
  ChildOptions options = shell("sleep 60 & (trap '' TERM; sleep 60 & echo up; wait) & wait");
  options.stop_grace_ms = 50;
  child.start(options);
  family.let_go();
  REQUIRE(child.wait_for_output("up"));
  CHECK_FALSE(family.all_ended_now());
  child.operation->cancel();
  loop.run();
  CHECK(child.exits == 1);
  CHECK(family.all_ended());
}

TEST_CASE("a child that ends takes along those that it leaves behind") {
  Loop loop;
  Lifeline family;
  Run child(loop);
  child.start(shell("sleep 60 & echo up; exit 4"));
  family.let_go();
  const Stopwatch watch;
  REQUIRE(child.wait_for_exit());
  CHECK(child.exit.code == 4);
  CHECK(watch.elapsed_ms() < 5000);
  CHECK(family.all_ended());
}

TEST_CASE("destroying a child kills its whole group and reaps it") {
  Loop loop;
  Lifeline family;
  Run child(loop);
  child.start(shell("trap '' TERM; sleep 60 & echo up; wait"));
  family.let_go();
  REQUIRE(child.wait_for_output("up"));
  child.operation.reset();
  loop.run();
  CHECK(child.exits == 0);
  CHECK_FALSE(has_children());
  CHECK(family.all_ended());
}

TEST_CASE("destroying a child that is being cancelled does not wait for its grace") {
  Loop loop;
  Run child(loop);
  ChildOptions options = shell("trap '' TERM; echo up; exec sleep 60");
  options.stop_grace_ms = 3'600'000;
  child.start(options);
  REQUIRE(child.wait_for_output("up"));
  child.operation->cancel();
  child.operation.reset();
  loop.run();
  CHECK(child.exits == 0);
  CHECK_FALSE(has_children());
}

TEST_CASE("destroying a child as soon as it was started reaps it") {
  Loop loop;
  Run child(loop);
  child.start(shell("exit 0"));
  child.operation.reset();
  loop.run();
  CHECK(child.exits == 0);
  CHECK_FALSE(has_children());
}

TEST_CASE("on_exit may destroy the child") {
  Loop loop;
  OperationPtr operation;
  std::string seen;
  Token token;
  auto child = start_child(loop, shell("exit 0"),
                           {.on_exit = [&seen, &operation, held = std::move(token.held)](ChildExit) {
                             operation.reset();
                             seen = *held;
                           }});
  REQUIRE(child.has_value());
  operation = std::move(*child);
  loop.run();
  CHECK(seen == "a string that is not stored inline");
  CHECK(token.watch.expired());
}

TEST_CASE("on_output may destroy the child") {
  Loop loop;
  OperationPtr operation;
  std::string seen;
  Token token;
  auto child = start_child(loop, shell("echo up; exec sleep 60"),
                           {.on_output =
                                [&seen, &operation, held = std::move(token.held)](std::string_view bytes) {
                                  operation.reset();
                                  seen = std::string(bytes) + *held;
                                },
                            .on_exit = [](ChildExit) {}});
  REQUIRE(child.has_value());
  operation = std::move(*child);
  loop.run();
  CHECK(seen == "up\na string that is not stored inline");
  CHECK(token.watch.expired());
  CHECK_FALSE(has_children());
}

TEST_CASE("on_exit of one child may destroy another that ended at the same time") {
  Loop loop;
  Lifeline both;
  int exits = 0;
  OperationPtr first;
  OperationPtr second;
  const auto start_destroyer_of = [&](OperationPtr& other) {
    auto started = start_child(loop, shell("exit 0"), {.on_exit = [&](ChildExit) {
                                 ++exits;
                                 other.reset();
                               }});
    REQUIRE(started.has_value());
    return std::move(*started);
  };
  first = start_destroyer_of(second);
  second = start_destroyer_of(first);
  both.let_go();
  REQUIRE(both.all_ended());  // before the loop looks
  loop.run();
  CHECK(exits == 1);
  CHECK_FALSE(has_children());
}

TEST_CASE("on_exit comes though something that has left the child's group holds its output") {
  Loop loop;
  Run child(loop);
  ChildOptions options = shell(
      "trap 'exit 2' USR1; setsid sh -c 'echo $$; kill -USR1 '$$'; exec sleep 60' & while :; do wait; done");
  options.stop_grace_ms = 50;
  child.start(options);
  const bool has_ended = child.wait_for_exit();
  const pid_t escaped = std::atoi(child.output.c_str());
  REQUIRE(escaped > 1);
  kill(escaped, SIGKILL);
  REQUIRE(has_ended);
  CHECK(child.exit.code == 2);
  loop.run();
  CHECK(child.exits == 1);
}

}  // namespace
}  // namespace ggufd::loop
