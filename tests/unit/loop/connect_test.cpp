#include "loop/connect.h"

#include <fmt/core.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>

#include "tests/unit/loop/tcp_support.h"

namespace ggufd::loop {
namespace {

using test::Attempt;
using test::Listening;
using test::piece;
using test::Port;
using test::run_until;
using test::some_turns;
using test::TcpConnection;
using test::Token;

std::ptrdiff_t open_files() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

TEST_CASE("a port that listens is connected to, and bytes go both ways") {
  Loop loop;
  Listening user;
  TcpConnection connection(loop);
  connection.stream->start_reading(user);
  std::string first = "one ";
  std::string second = "two";
  const std::array<iovec, 2> pieces{piece(first), piece(second)};
  CHECK(connection.stream->try_write(pieces) == 7U);
  connection.hear(loop);
  CHECK(run_until(loop, [&] { return connection.heard == "one two"; }));
  connection.say("and back");
  CHECK(run_until(loop, [&] { return user.read == "and back"; }));
}

TEST_CASE("a port that nobody listens on is told as one, in a later turn") {
  Loop loop;
  Port port;
  port.shut();
  Attempt attempt;
  attempt.start(loop, port.number());
  loop.run();
  CHECK(attempt.calls == 1);
  REQUIRE(attempt.error.has_value());
  CHECK(attempt.error->code == ErrorCode::network);
  CHECK(attempt.error->message.find(fmt::format("127.0.0.1:{}", port.number())) != std::string::npos);
}

TEST_CASE("port 0 is nobody's") {
  Loop loop;
  Attempt attempt;
  attempt.start(loop, 0);
  loop.run();
  REQUIRE(attempt.error.has_value());
  CHECK(attempt.error->code == ErrorCode::network);
}

TEST_CASE("connecting without a descriptor left is an error in a later turn") {
  Loop loop;
  const Port port;
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit none = before;
  none.rlim_cur = 0;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  Attempt attempt;
  attempt.start(loop, port.number());
  setrlimit(RLIMIT_NOFILE, &before);
  loop.run();
  REQUIRE(attempt.error.has_value());
  CHECK(attempt.error->code == ErrorCode::network);
}

TEST_CASE("cancelling a connection that is being made tells it so once, and later") {
  Loop loop;
  const Port port;
  Attempt attempt;
  attempt.start(loop, port.number());
  attempt.operation->cancel();
  attempt.operation->cancel();
  CHECK(attempt.calls == 0);
  loop.run();
  CHECK(attempt.calls == 1);
  REQUIRE(attempt.error.has_value());
  CHECK(attempt.error->code == ErrorCode::cancelled);
  attempt.operation->cancel();
  loop.run();
  CHECK(attempt.calls == 1);
}

TEST_CASE("cancelling after the connection was made leaves it alone") {
  Loop loop;
  const Port port;
  Attempt attempt;
  attempt.start(loop, port.number());
  REQUIRE(run_until(loop, [&] { return attempt.calls > 0; }));
  attempt.operation->cancel();
  some_turns(loop);
  CHECK(attempt.calls == 1);
  CHECK(attempt.stream != nullptr);
}

TEST_CASE("destroying an attempt drops its callback and closes its socket") {
  Loop loop;
  Port port;
  Token token;
  const auto before = open_files();
  SUBCASE("while it is under way") {}
  SUBCASE("when it has failed and that is not told yet") {
    port.shut();
  }
  const auto at_start = open_files();
  auto operation =
      connect_loopback(loop, port.number(), [held = std::move(token.held)](auto) { FAIL("told"); });
  CHECK(open_files() == at_start + 1);
  operation.reset();
  CHECK(open_files() == at_start);
  CHECK(at_start <= before);
  CHECK(token.watch.expired());
  loop.run();
}

TEST_CASE("the callback may destroy the attempt") {
  Loop loop;
  Port port;
  Token token;
  std::string seen;
  OperationPtr operation;
  SUBCASE("when the connection is made") {}
  SUBCASE("when it has failed") {
    port.shut();
  }
  operation = connect_loopback(loop, port.number(), [&, held = std::move(token.held)](auto) {
    operation.reset();
    seen = *held;
  });
  loop.run();
  CHECK(seen == "a string that is not stored inline");
  CHECK(token.watch.expired());
}

// In a network of its own, where the system has one port to give: 0 where the connection was refused.
[[noreturn]] void connect_to_the_only_port() {
  constexpr std::uint16_t only_port = 40000;
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  ifreq loopback{};
  std::memcpy(loopback.ifr_name, "lo", 3);
  loopback.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(fd, SIOCSIFFLAGS, &loopback) != 0) _exit(77);
  std::ofstream range("/proc/sys/net/ipv4/ip_local_port_range");
  range << only_port << " " << only_port << std::flush;
  if (!range) _exit(77);
  Loop loop;
  std::optional<ErrorCode> code;
  const auto operation = connect_loopback(loop, only_port, [&](Result<std::unique_ptr<TcpStream>> made) {
    if (!made) code = made.error().code;
  });
  loop.run();
  _exit(code == ErrorCode::network ? 0 : 1);
}

TEST_CASE("a socket that the kernel has connected to itself is a port that refuses") {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) _exit(77);
    connect_to_the_only_port();
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    MESSAGE("not tested: no network namespace may be made here");
    return;
  }
  CHECK(WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace ggufd::loop
