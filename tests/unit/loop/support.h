// What the tests of the loop share: waiting for events, and the far ends of what is tested.
#pragma once

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "loop/listener.h"
#include "loop/loop.h"
#include "loop/stream.h"
#include "loop/timer.h"

namespace ggufd::loop::test {

// Far longer than anything here takes; a test that gets there has failed.
inline constexpr std::uint64_t limit_ms = 60'000;

// Lets the loop turn until reached() is true; false where that does not come within the limit.
template <class Reached>
bool run_until(Loop& loop, Reached reached) {
  bool is_late = false;
  Timer limit(loop, [&is_late] { is_late = true; });
  limit.start_once(limit_ms);
  bool is_reached = reached();
  while (!is_reached && !is_late) {
    uv_run(loop.raw(), UV_RUN_ONCE);
    is_reached = reached();
  }
  return is_reached;
}

class Stopwatch {
 public:
  std::int64_t elapsed_ms() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start_)
        .count();
  }
  // Keeps the thread busy, as a callback does that takes long.
  void burn_until_ms(std::int64_t elapsed) const {
    while (elapsed_ms() < elapsed) continue;
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Work on the pool waits at a gate until the test opens it. Opens by itself at the end, so that a failing
// test does not hang.
class Gate {
 public:
  Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() { open(); }

  void open() {
    if (!std::exchange(is_open_, true)) promise_.set_value();
  }
  std::shared_future<void> passage() const { return passage_; }

 private:
  std::promise<void> promise_;
  std::shared_future<void> passage_ = promise_.get_future().share();
  bool is_open_ = false;
};

// Something a callback can own: says whether it has been freed, and is on the heap, so that using it
// afterwards is seen by the sanitizer.
struct Token {
  std::shared_ptr<std::string> held = std::make_shared<std::string>("a string that is not stored inline");
  std::weak_ptr<std::string> watch = held;
};

class TempFolder {
 public:
  TempFolder() {
    // Not $TMPDIR: a socket's path must be short.
    std::array<char, 32> path{"/tmp/ggufd-loop-XXXXXX"};
    REQUIRE(mkdtemp(path.data()) != nullptr);
    path_ = path.data();
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

inline sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// The peer: a plain socket in the same thread, which never blocks.
class Client {
 public:
  explicit Client(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_un address = unix_address(path);
    REQUIRE(connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { disappear(); }

  void send(std::string_view bytes) const {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    REQUIRE(sent == static_cast<ssize_t>(bytes.size()));
  }
  // Takes what has arrived, at most so much of it.
  void receive(std::size_t most_bytes = SIZE_MAX) {
    std::array<char, 64 * 1024> buffer;
    ssize_t count = 0;
    while (most_bytes > 0 &&
           (count = recv(fd_, buffer.data(), std::min(most_bytes, buffer.size()), MSG_DONTWAIT)) > 0) {
      received.append(buffer.data(), static_cast<std::size_t>(count));
      most_bytes -= static_cast<std::size_t>(count);
    }
    if (most_bytes > 0 && count == 0) has_ended = true;
  }
  void end_sending() const { shutdown(fd_, SHUT_WR); }
  void disappear() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

  std::string received;
  bool has_ended = false;  // read end of file

 private:
  int fd_;
};

// What a stream tells, kept.
struct Listening final : StreamUser {
  void on_bytes(std::string_view bytes) override {
    read += bytes;
    if (on_read) on_read();
  }
  void on_end() override {
    ++ends;
    if (on_ended) on_ended();
  }
  void on_room() override {
    ++rooms;
    if (on_writable) on_writable();
  }
  void on_gone() override { ++gone; }

  std::string read;
  int ends = 0;
  int rooms = 0;
  int gone = 0;
  std::function<void()> on_read;
  std::function<void()> on_ended;
  std::function<void()> on_writable;
};

// A connected Stream and its peer.
struct Connection {
  explicit Connection(Loop& loop) {
    // As the daemon does: writing to a peer that has gone is an error, not a signal.
    std::signal(SIGPIPE, SIG_IGN);
    auto listening = Listener::listen(
        loop, folder.file("socket"),
        [this](std::unique_ptr<Stream> accepted, PeerCredentials) { stream = std::move(accepted); });
    REQUIRE(listening.has_value());
    listener = std::move(*listening);
    client = std::make_unique<Client>(folder.file("socket"));
    REQUIRE(run_until(loop, [this] { return stream != nullptr; }));
  }

  TempFolder folder;
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Client> client;
  std::unique_ptr<Stream> stream;
};

// More than a socket's buffers take.
inline std::shared_ptr<std::string> much_text() {
  return std::make_shared<std::string>(std::string(8U << 20, 'x'));
}

inline iovec piece(std::string& bytes) {
  return {bytes.data(), bytes.size()};
}

// A pipe that a child and all its descendants inherit: its end is the end of the last of them.
class Lifeline {
 public:
  Lifeline() { REQUIRE(pipe(ends_.data()) == 0); }
  Lifeline(const Lifeline&) = delete;
  Lifeline& operator=(const Lifeline&) = delete;
  ~Lifeline() {
    let_go();
    close(ends_[0]);
  }

  // Once the child has been started: from now on only its family holds the other end.
  void let_go() {
    if (ends_[1] >= 0) close(std::exchange(ends_[1], -1));
  }
  bool all_ended() const { return ended_within(static_cast<int>(limit_ms)); }
  bool all_ended_now() const { return ended_within(0); }

 private:
  bool ended_within(int timeout_ms) const {
    pollfd end{.fd = ends_[0], .events = 0, .revents = 0};
    int ready = 0;
    do {
      ready = poll(&end, 1, timeout_ms);
    } while (ready < 0 && errno == EINTR);  // the SIGCHLD of the child that is waited for
    return ready == 1 && (end.revents & POLLHUP) != 0;
  }

  std::array<int, 2> ends_{};
};

// True where this process has a child, a zombie included.
inline bool has_children() {
  siginfo_t info{};
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

}  // namespace ggufd::loop::test
