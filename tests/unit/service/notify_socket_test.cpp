#include "service/notify_socket.h"

#include <fmt/core.h>

#include "support.h"

namespace ggufd::service {
namespace {

using loop::test::TempFolder;
using test::environment_of;
using test::Manager;

TEST_CASE("a message arrives as it was sent, at a path and at a name of the abstract namespace") {
  const TempFolder folder;
  for (const std::string& address : {folder.file("notify"), fmt::format("@ggufd-notify-{}", getpid())}) {
    CAPTURE(address);
    const Manager manager(address);
    const NotifySocket socket(manager.environment());
    CHECK(socket.is_open());
    CHECK(socket.send("READY=1\nSTATUS=here") == NotifySocket::Sent::yes);
    CHECK(manager.read() == "READY=1\nSTATUS=here");
  }
}

TEST_CASE("without an address, or with one of another kind, nobody is there") {
  const auto opens = [](const std::string& address) {
    return NotifySocket(environment_of({{"NOTIFY_SOCKET", address}})).is_open();
  };
  CHECK_FALSE(NotifySocket(environment_of({})).is_open());
  CHECK_FALSE(opens("@"));
  CHECK_FALSE(opens("relative/path"));
  CHECK_FALSE(opens("vsock:2:1234"));
  CHECK_FALSE(opens("/" + std::string(200, 'x')));
  CHECK(NotifySocket(environment_of({})).send("READY=1") == NotifySocket::Sent::never);
}

TEST_CASE("a manager that has gone is no reason to try again") {
  const TempFolder folder;
  const NotifySocket socket(environment_of({{"NOTIFY_SOCKET", folder.file("nobody")}}));
  CHECK(socket.send("READY=1") == NotifySocket::Sent::never);
}

TEST_CASE("a manager that does not read is not waited for") {
  const TempFolder folder;
  const Manager manager(folder.file("notify"));
  const NotifySocket socket(manager.environment());
  int taken = 0;
  while (socket.send("WATCHDOG=1") == NotifySocket::Sent::yes && taken < 1'000'000) ++taken;
  CHECK(taken > 0);
  CHECK(socket.send("READY=1") == NotifySocket::Sent::not_now);
  CHECK(manager.read_all().size() == static_cast<std::size_t>(taken));
  CHECK(socket.send("READY=1") == NotifySocket::Sent::yes);
}

TEST_CASE("a failed start is told with its sentence on one line, and a number") {
  const TempFolder folder;
  const Manager manager(folder.file("notify"));
  tell_failed_start(manager.environment(), "two lines:\nREADY=1", EINVAL);
  CHECK(manager.read() == fmt::format("STATUS=two lines: READY=1\nERRNO={}", EINVAL));
}

}  // namespace
}  // namespace ggufd::service
