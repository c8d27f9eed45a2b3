#include "loop/listener.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/unit/loop/support.h"

namespace ggufd::loop {
namespace {

using test::Client;
using test::run_until;
using test::TempFolder;
using test::Token;

using ListenerPtr = std::unique_ptr<Listener>;

ListenerPtr listen_on(Loop& loop, const std::string& path) {
  auto listener = Listener::listen(loop, path, [](std::unique_ptr<Stream>, PeerCredentials) {});
  REQUIRE(listener.has_value());
  return std::move(*listener);
}

// A socket file that nobody listens on, as a daemon leaves it that was killed.
void leave_stale_socket(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = test::unix_address(path);
  REQUIRE(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  close(fd);
}

bool exists(const std::string& path) {
  struct stat info{};
  return lstat(path.c_str(), &info) == 0;
}

TEST_CASE("a listening socket is for its owner only, whatever the umask") {
  Loop loop;
  const TempFolder folder;
  const mode_t before = umask(0);
  const auto listener = listen_on(loop, folder.file("socket"));
  umask(before);
  struct stat info{};
  REQUIRE(lstat(folder.file("socket").c_str(), &info) == 0);
  CHECK(S_ISSOCK(info.st_mode));
  CHECK((info.st_mode & 07777) == 0600);
  CHECK(listener->path() == folder.file("socket"));
}

TEST_CASE("a listener is told each connection with the credentials of its peer") {
  Loop loop;
  const TempFolder folder;
  std::vector<std::unique_ptr<Stream>> streams;
  std::vector<PeerCredentials> peers;
  const auto listener = Listener::listen(loop, folder.file("socket"),
                                         [&](std::unique_ptr<Stream> stream, PeerCredentials peer) {
                                           streams.push_back(std::move(stream));
                                           peers.push_back(peer);
                                         });
  REQUIRE(listener.has_value());
  const Client first(folder.file("socket"));
  const Client second(folder.file("socket"));
  REQUIRE(run_until(loop, [&] { return streams.size() == 2; }));
  for (const PeerCredentials& peer : peers) {
    CHECK(peer.uid == getuid());
    CHECK(peer.gid == getgid());
    CHECK(peer.pid == getpid());
  }
}

TEST_CASE("a connection that is not wanted is closed by dropping its stream") {
  Loop loop;
  const TempFolder folder;
  const auto listener = listen_on(loop, folder.file("socket"));
  Client client(folder.file("socket"));
  CHECK(run_until(loop, [&] {
    client.receive();
    return client.has_ended;
  }));
}

TEST_CASE("a peer that has gone before it was accepted does no harm") {
  Loop loop;
  const TempFolder folder;
  int connections = 0;
  const auto listener = Listener::listen(loop, folder.file("socket"),
                                         [&](std::unique_ptr<Stream>, PeerCredentials) { ++connections; });
  REQUIRE(listener.has_value());
  Client(folder.file("socket")).disappear();
  const Client stays(folder.file("socket"));
  CHECK(run_until(loop, [&] { return connections == 2; }));
}

TEST_CASE("a destroyed listener has unlinked its path") {
  Loop loop;
  const TempFolder folder;
  auto listener = listen_on(loop, folder.file("socket"));
  CHECK(exists(folder.file("socket")));
  listener.reset();
  CHECK_FALSE(exists(folder.file("socket")));
}

TEST_CASE("on_connection may destroy the listener") {
  Loop loop;
  const TempFolder folder;
  Token token;
  std::string seen;
  ListenerPtr listener;
  auto listening = Listener::listen(
      loop, folder.file("socket"),
      [&seen, &listener, held = std::move(token.held)](std::unique_ptr<Stream>, PeerCredentials) {
        listener.reset();
        seen += *held;
      });
  REQUIRE(listening.has_value());
  listener = std::move(*listening);
  const Client first(folder.file("socket"));
  const Client second(folder.file("socket"));
  REQUIRE(run_until(loop, [&] { return !seen.empty(); }));
  loop.run();
  CHECK(seen == "a string that is not stored inline");
  CHECK(token.watch.expired());
}

TEST_CASE("connections outlive their listener") {
  Loop loop;
  test::Connection connection(loop);
  test::Listening user;
  connection.stream->start_reading(user);
  connection.client->send("before");
  REQUIRE(run_until(loop, [&] { return user.read == "before"; }));
  connection.listener.reset();
  connection.client->send(" after");
  CHECK(run_until(loop, [&] { return user.read == "before after"; }));
}

TEST_CASE("a path that is taken cannot be bound and is left alone") {
  Loop loop;
  const TempFolder folder;
  leave_stale_socket(folder.file("socket"));
  const auto listener = Listener::listen(loop, folder.file("socket"), {});
  REQUIRE_FALSE(listener.has_value());
  CHECK(listener.error().code == ErrorCode::io);
  CHECK(listener.error().message.find(folder.file("socket")) != std::string::npos);
  CHECK(exists(folder.file("socket")));
}

TEST_CASE("a socket path may have 107 bytes and no more") {
  Loop loop;
  const TempFolder folder;
  const std::string longest = folder.file(std::string(107 - folder.file("").size(), 'x'));
  const auto listener = listen_on(loop, longest);
  CHECK(exists(longest));
  CHECK(probe_socket_path(longest) == SocketPath::live_socket);

  const std::string too_long = longest + 'x';
  const auto refused = Listener::listen(loop, too_long, {});
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::io);
  CHECK(refused.error().message.find("108 bytes and the system allows 107") != std::string::npos);
  CHECK_FALSE(probe_socket_path(too_long).has_value());
}

TEST_CASE("probing tells what stands at a path") {
  Loop loop;
  const TempFolder folder;
  const std::string path = folder.file("socket");
  SUBCASE("nothing") {
    CHECK(probe_socket_path(path) == SocketPath::free);
  }
  SUBCASE("the socket of a daemon that died") {
    leave_stale_socket(path);
    CHECK(probe_socket_path(path) == SocketPath::stale_socket);
    CHECK(exists(path));
  }
  SUBCASE("a socket that somebody listens on") {
    const auto listener = listen_on(loop, path);
    CHECK(probe_socket_path(path) == SocketPath::live_socket);
  }
  SUBCASE("a file") {
    std::ofstream(path) << "a file";
    CHECK(probe_socket_path(path) == SocketPath::not_a_socket);
  }
  SUBCASE("a folder") {
    std::filesystem::create_directory(path);
    CHECK(probe_socket_path(path) == SocketPath::not_a_socket);
  }
  SUBCASE("a symbolic link, even to a live socket") {
    const auto listener = listen_on(loop, folder.file("other"));
    std::filesystem::create_symlink(folder.file("other"), path);
    CHECK(probe_socket_path(path) == SocketPath::not_a_socket);
  }
}

TEST_CASE("a listener whose backlog is full is alive") {
  const TempFolder folder;
  const std::string path = folder.file("socket");
  const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = test::unix_address(path);
  REQUIRE(bind(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(listen(server, 0) == 0);
  const Client fills_the_backlog(path);
  CHECK(probe_socket_path(path) == SocketPath::live_socket);
  close(server);
}

TEST_CASE("what cannot be probed is an error that names the path") {
  const TempFolder folder;
  std::ofstream(folder.file("file")) << "not a folder";
  const auto probed = probe_socket_path(folder.file("file") + "/socket");
  REQUIRE_FALSE(probed.has_value());
  CHECK(probed.error().code == ErrorCode::io);
  CHECK(probed.error().message.find(folder.file("file")) != std::string::npos);
}

// The lowest limit of descriptors that leaves none, until this is gone.
class NoDescriptors {
 public:
  NoDescriptors() {
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const int next = dup(0);
    REQUIRE(next >= 0);
    close(next);
    rlimit none = before_;
    none.rlim_cur = static_cast<rlim_t>(next);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST_CASE("with no descriptor left, connections wait and are taken once there is one") {
  Loop loop;
  const TempFolder folder;
  std::vector<std::unique_ptr<Stream>> streams;
  std::vector<Error> told;
  const auto listener = Listener::listen(
      loop, folder.file("socket"),
      [&](std::unique_ptr<Stream> stream, PeerCredentials) { streams.push_back(std::move(stream)); }, {},
      [&](const Error& error) { told.push_back(error); });
  REQUIRE(listener.has_value());
  Client first(folder.file("socket"));
  Client second(folder.file("socket"));
  {
    const NoDescriptors none;
    REQUIRE(run_until(loop, [&] { return !told.empty(); }));
    CHECK(told.front().code == ErrorCode::io);
    // Nothing spins meanwhile: the next thing that happens is the timer.
    uv_run(loop.raw(), UV_RUN_NOWAIT);
    CHECK(uv_backend_timeout(loop.raw()) > 0);
  }
  CHECK(run_until(loop, [&] { return streams.size() == 2; }));
  CHECK(told.size() == 1);
  first.receive();
  CHECK_FALSE(first.has_ended);
}

TEST_CASE("a socket for one group") {
  Loop loop;
  const TempFolder folder;
  const auto listener =
      Listener::listen(loop, folder.file("socket"), [](std::unique_ptr<Stream>, PeerCredentials) {},
                       {.mode = 0660, .group = getgid()});
  REQUIRE(listener.has_value());
  struct stat info{};
  REQUIRE(lstat(folder.file("socket").c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0660);
  CHECK(info.st_gid == getgid());
}

// What a service manager hands over: bound, and listening where that is asked for.
int bound_socket(const std::string& path, int type, bool listens) {
  const int fd = socket(AF_UNIX, type, 0);
  const sockaddr_un address = test::unix_address(path);
  REQUIRE(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  if (listens) REQUIRE(::listen(fd, 8) == 0);
  return fd;
}

TEST_CASE("an adopted socket serves who has come before, and its file stays") {
  Loop loop;
  const TempFolder folder;
  const int fd = bound_socket(folder.file("socket"), SOCK_STREAM, true);
  const Client early(folder.file("socket"));
  int taken = 0;
  auto listener = Listener::adopt(loop, fd, [&](std::unique_ptr<Stream>, PeerCredentials) { ++taken; });
  REQUIRE(listener.has_value());
  CHECK((*listener)->path() == folder.file("socket"));
  CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  const Client late(folder.file("socket"));
  CHECK(run_until(loop, [&] { return taken == 2; }));
  listener->reset();
  CHECK(exists(folder.file("socket")));
  CHECK(fcntl(fd, F_GETFD) < 0);
}

TEST_CASE("what is no listening Unix stream socket is not adopted, and closed") {
  Loop loop;
  const TempFolder folder;
  std::array<int, 2> pipe_ends{};
  REQUIRE(pipe(pipe_ends.data()) == 0);
  const auto check_refused = [&](int fd, const char* words) {
    CAPTURE(words);
    const auto listener = Listener::adopt(loop, fd, [](std::unique_ptr<Stream>, PeerCredentials) {});
    REQUIRE_FALSE(listener.has_value());
    CHECK(listener.error().message.find(words) != std::string::npos);
    CHECK(fcntl(fd, F_GETFD) < 0);
  };
  check_refused(pipe_ends[0], "no socket");
  check_refused(socket(AF_INET, SOCK_STREAM, 0), "no Unix socket");
  check_refused(bound_socket(folder.file("datagram"), SOCK_DGRAM, false), "no stream socket");
  check_refused(bound_socket(folder.file("idle"), SOCK_STREAM, false), "does not listen");
  close(pipe_ends[1]);
}

}  // namespace
}  // namespace ggufd::loop
