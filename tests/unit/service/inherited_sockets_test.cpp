#include "service/inherited_sockets.h"

#include <fmt/core.h>
#include <sys/wait.h>

#include "support.h"

namespace ggufd::service {
namespace {

using loop::test::TempFolder;

int listening_at(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  const sockaddr_un address = loop::test::unix_address(path);
  REQUIRE(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(listen(fd, 1) == 0);
  return fd;
}

// Descriptors count from 3, which are this process's own: a child of it is the one that inherits. Returns
// whether `check` holds there.
template <class Check>
bool holds_in_child(const std::vector<int>& descriptors, const char* count, const char* names, Check check) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    // Out of the way of each other first.
    std::vector<int> high;
    for (const int fd : descriptors) high.push_back(fcntl(fd, F_DUPFD, 100));
    for (std::size_t i = 0; i < high.size(); ++i) dup2(high[i], 3 + static_cast<int>(i));
    setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
    setenv("LISTEN_FDS", count, 1);
    setenv("LISTEN_FDNAMES", names, 1);
    _exit(check() ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_CASE("sockets come with their names and paths, for us alone, and the variables are gone") {
  const TempFolder folder;
  const std::string first = folder.file("first");
  const int a = listening_at(first);
  const int b = listening_at(folder.file("second"));
  CHECK(holds_in_child({a, b}, "2", "admin.sock:other", [&] {
    const auto sockets = take_inherited_sockets();
    return sockets.size() == 2 && sockets[0].name() == "admin.sock" && sockets[0].path() == first &&
           sockets[1].name() == "other" && (fcntl(3, F_GETFD) & FD_CLOEXEC) != 0 &&
           getenv("LISTEN_PID") == nullptr && getenv("LISTEN_FDS") == nullptr &&
           getenv("LISTEN_FDNAMES") == nullptr && take_inherited_sockets().empty();
  }));
  close(a);
  close(b);
}

TEST_CASE("sockets without names have none") {
  const TempFolder folder;
  const int a = listening_at(folder.file("first"));
  CHECK(holds_in_child({a}, "1", "", [] {
    const auto sockets = take_inherited_sockets();
    return sockets.size() == 1 && sockets[0].name().empty();
  }));
  close(a);
}

TEST_CASE("a count that is none is no socket, and neither is a descriptor that is not open") {
  for (const char* count : {"", "0", "-3", "many", "2x"}) {
    CAPTURE(count);
    CHECK(holds_in_child({}, count, "", [] { return take_inherited_sockets().empty(); }));
  }
  CHECK(holds_in_child({}, "1000000", "", [] {
    close_range(3, ~0U, 0);
    return take_inherited_sockets().empty();
  }));
}

TEST_CASE("what is meant for another process is left alone") {
  REQUIRE(setenv("LISTEN_PID", "1", 1) == 0);
  REQUIRE(setenv("LISTEN_FDS", "1", 1) == 0);
  CHECK(take_inherited_sockets().empty());
  CHECK(getenv("LISTEN_FDS") == nullptr);
}

TEST_CASE("a socket that is not taken is closed") {
  const TempFolder folder;
  const int fd = listening_at(folder.file("first"));
  {
    const InheritedSocket socket(fd, "x");
  }
  CHECK(fcntl(fd, F_GETFD) < 0);
  const int other = listening_at(folder.file("second"));
  {
    InheritedSocket socket(other, "x");
    InheritedSocket moved(std::move(socket));
    CHECK(moved.take() == other);
  }
  CHECK(fcntl(other, F_GETFD) >= 0);
  close(other);
}

TEST_CASE("what is bound to no path has none") {
  std::array<int, 2> pair{};
  REQUIRE(pipe(pair.data()) == 0);
  CHECK(InheritedSocket(pair[0], "pipe").path().empty());
  CHECK(InheritedSocket(pair[1], "pipe").path().empty());
  CHECK(InheritedSocket(socket(AF_UNIX, SOCK_STREAM, 0), "unbound").path().empty());
  CHECK(InheritedSocket(socket(AF_INET, SOCK_STREAM, 0), "tcp").path().empty());
}

}  // namespace
}  // namespace ggufd::service
