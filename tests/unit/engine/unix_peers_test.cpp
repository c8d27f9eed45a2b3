#include "engine/unix_peers.h"

#include <doctest/doctest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/loop/support.h"

namespace ggufd::engine {
namespace {

using loop::test::TempFolder;
using loop::test::unix_address;

// A plain socket.
class Socket {
 public:
  explicit Socket(int type = SOCK_STREAM) : fd_(socket(AF_UNIX, type | SOCK_CLOEXEC, 0)) {
    REQUIRE(fd_ >= 0);
  }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() { shut(); }

  static Socket listening(const std::string& path, int type = SOCK_STREAM) {
    Socket made(type);
    made.bind_to(path);
    REQUIRE(listen(made.fd_, 4096) == 0);
    return made;
  }
  static Socket connected(const std::string& path, int type = SOCK_STREAM) {
    Socket made(type);
    made.connect_to(path);
    return made;
  }
  void bind_to(const std::string& path) const {
    const sockaddr_un address = unix_address(path);
    REQUIRE(bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  void connect_to(const std::string& path) const {
    const sockaddr_un address = unix_address(path);
    REQUIRE(connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  Socket accepted() const {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    REQUIRE(fd >= 0);
    return Socket(Taken{fd});
  }
  void end_sending() const { REQUIRE(shutdown(fd_, SHUT_WR) == 0); }
  void shut() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

 private:
  struct Taken {
    int fd;
  };
  explicit Socket(Taken taken) : fd_(taken.fd) {}

  int fd_;
};

TEST_CASE("a listening socket has as many connections as there are, taken or still waiting") {
  const TempFolder folder;
  const std::string path = folder.file("engine.sock");
  const Socket listener = Socket::listening(path);
  CHECK(count_connections(path) == 0U);
  const Socket first = Socket::connected(path);
  CHECK(count_connections(path) == 1U);
  Socket taken = listener.accepted();
  CHECK(count_connections(path) == 1U);
  const Socket second = Socket::connected(path);
  const Socket third = Socket::connected(path);
  CHECK(count_connections(path) == 3U);
  taken.shut();
  CHECK(count_connections(path) == 2U);
}

TEST_CASE("a connection is there until the listener's side of it is closed") {
  const TempFolder folder;
  const std::string path = folder.file("engine.sock");
  const Socket listener = Socket::listening(path);
  Socket client = Socket::connected(path);
  SUBCASE("whose client has ended its sending") {
    Socket taken = listener.accepted();
    client.end_sending();
    CHECK(count_connections(path) == 1U);
    taken.end_sending();
    CHECK(count_connections(path) == 1U);
    taken.shut();
  }
  SUBCASE("whose client has gone") {
    Socket taken = listener.accepted();
    client.shut();
    CHECK(count_connections(path) == 1U);
    taken.shut();
  }
  SUBCASE("whose client has gone before it was taken") {
    client.shut();
    CHECK(count_connections(path) == 1U);
    listener.accepted().shut();
  }
  CHECK(count_connections(path) == 0U);
}

TEST_CASE("connections outlive the listening") {
  const TempFolder folder;
  const std::string path = folder.file("engine.sock");
  Socket listener = Socket::listening(path);
  const Socket client = Socket::connected(path);
  Socket taken = listener.accepted();
  listener.shut();
  std::filesystem::remove(path);
  CHECK(count_connections(path) == 1U);
  taken.shut();
  CHECK(count_connections(path) == std::nullopt);
}

TEST_CASE("nothing is known of a path that nobody listens on") {
  const TempFolder folder;
  const std::string path = folder.file("engine.sock");
  CHECK(count_connections(path) == std::nullopt);
  CHECK(count_connections("") == std::nullopt);
  CHECK(count_connections("Path") == std::nullopt);  // the table's heading
  Socket::listening(path).shut();
  CHECK(count_connections(path) == std::nullopt);
}

TEST_CASE("a socket goes by the path that it was bound to, not by another name of its file") {
  const TempFolder folder;
  const std::string path = folder.file(".m.sock");
  const Socket listener = Socket::listening(path);
  std::filesystem::create_hard_link(path, folder.file("infer.sock"));
  const Socket client = Socket::connected(folder.file("infer.sock"));
  CHECK(count_connections(path) == 1U);
  CHECK(count_connections(folder.file("infer.sock")) == std::nullopt);
  std::filesystem::rename(path, folder.file("renamed.sock"));
  CHECK(count_connections(path) == 1U);
}

TEST_CASE("paths that resemble each other are told apart, blanks and all") {
  const TempFolder folder;
  const std::vector<std::string> paths = {
      folder.file("m.sock"),  folder.file("m.sock2"), folder.file("a m.sock"), folder.file("a  m.sock"),
      folder.file("m.sock "), folder.file(" m.sock"), folder.file("@m.sock")};
  std::vector<Socket> sockets;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    sockets.push_back(Socket::listening(paths[i]));
    for (std::size_t j = 0; j < i; ++j) sockets.push_back(Socket::connected(paths[i]));
  }
  for (std::size_t i = 0; i < paths.size(); ++i) {
    CAPTURE(paths[i]);
    CHECK(count_connections(paths[i]) == i);
    CHECK(count_connections(paths[i].substr(1)) == std::nullopt);
  }
  CHECK(count_connections("m.sock") == std::nullopt);
  CHECK(count_connections("sock ") == std::nullopt);
}

TEST_CASE("a path as long as they may be is one like any other") {
  const TempFolder folder;
  std::string path = folder.file("");
  path.append(sizeof sockaddr_un{}.sun_path - 1 - path.size(), 'x');
  const Socket listener = Socket::listening(path);
  const Socket client = Socket::connected(path);
  CHECK(count_connections(path) == 1U);
}

TEST_CASE("a path that the table cannot show is not guessed at") {
  const TempFolder folder;
  const std::string path = folder.file("two\nlines");
  const Socket listener = Socket::listening(path);
  const Socket client = Socket::connected(path);
  CHECK(count_connections(path) == std::nullopt);
  CHECK(count_connections("lines") == std::nullopt);
}

TEST_CASE("only streams are connections: a client's own name is not the listener's") {
  const TempFolder folder;
  const std::string path = folder.file("engine.sock");
  const std::string own = folder.file("client.sock");
  const Socket listener = Socket::listening(path);
  const Socket client;
  client.bind_to(own);
  client.connect_to(path);
  const Socket taken = listener.accepted();
  CHECK(count_connections(path) == 1U);
  const std::string other = folder.file("datagrams");
  const Socket datagrams(SOCK_DGRAM);
  datagrams.bind_to(other);
  const Socket sender = Socket::connected(other, SOCK_DGRAM);
  CHECK(count_connections(other) == std::nullopt);
}

TEST_CASE("connections are counted exactly among thousands of sockets") {
  rlimit files{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &files) == 0);
  const rlimit before = files;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  const std::size_t pairs = std::min<std::size_t>(2000, (files.rlim_cur - 100) / 4);
  {
    const TempFolder folder;
    const std::string path = folder.file("engine.sock");
    const std::string other = folder.file("other.sock");
    const Socket listener = Socket::listening(path);
    const Socket other_listener = Socket::listening(other);
    std::vector<Socket> sockets;
    for (std::size_t i = 0; i < pairs; ++i) {
      sockets.push_back(Socket::connected(path));
      sockets.push_back(Socket::connected(other));
      if (i % 2 == 0) sockets.push_back(listener.accepted());
    }
    CHECK(count_connections(path) == pairs);
    CHECK(count_connections(other) == pairs);
  }
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST_CASE("of a socket in another network namespace nothing is known") {
  const TempFolder folder;
  const std::string path = folder.file("engine.sock");
  const Socket listener = Socket::listening(path);
  const Socket client = Socket::connected(path);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) _exit(77);
    _exit(count_connections(path) == std::nullopt ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    MESSAGE("not tested: no network namespace may be made here");
    return;
  }
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(count_connections(path) == 1U);
}

}  // namespace
}  // namespace ggufd::engine
