// How children end: by themselves, asked, and killed.
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
