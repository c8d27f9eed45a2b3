// Both ends of TCP connections within this machine, for tests.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>

#include <memory>
#include <optional>
#include <string>

#include "loop/connect.h"
#include "tests/unit/loop/support.h"

namespace ggufd::loop::test {

// A socket that listens on a loopback port which the system has chosen.
class Port {
 public:
  Port() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(fd_, 16) == 0);
    socklen_t size = sizeof address;
    REQUIRE(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    number_ = ntohs(address.sin_port);
  }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  ~Port() { shut(); }

  std::uint16_t number() const { return number_; }
  void shut() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }
  // The other end of a connection that has been made.
  int take() const { return accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); }

 private:
  int fd_;
  std::uint16_t number_ = 0;
};

// A connection that is being made, and what came of it.
struct Attempt {
  void start(Loop& loop, std::uint16_t port) {
    operation = connect_loopback(loop, port, [this](Result<std::unique_ptr<TcpStream>> made) {
      ++calls;
      if (made) {
        stream = std::move(*made);
      } else {
        error = made.error();
      }
    });
    CHECK(calls == 0);
  }

  OperationPtr operation;
  int calls = 0;
  std::unique_ptr<TcpStream> stream;
  std::optional<Error> error;
};

// A TcpStream and the plain socket at its other end, which never blocks.
struct TcpConnection {
  explicit TcpConnection(Loop& loop) {
    const Port port;
    Attempt attempt;
    attempt.start(loop, port.number());
    REQUIRE(run_until(loop, [&] { return attempt.calls > 0; }));
    REQUIRE(attempt.stream != nullptr);
    stream = std::move(attempt.stream);
    peer = port.take();
    REQUIRE(peer >= 0);
  }
  TcpConnection(const TcpConnection&) = delete;
  TcpConnection& operator=(const TcpConnection&) = delete;
  ~TcpConnection() { close_peer(); }

  // As much of it as the peer's socket takes.
  std::size_t say(std::string_view text) const {
    const ssize_t count = ::send(peer, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    REQUIRE(count > 0);
    return static_cast<std::size_t>(count);
  }
  // From now on the peer reads what arrives.
  void hear(Loop& loop) {
    poll = make_handle<uv_poll_t>(
        this, [&](auto* handle) { return uv_poll_init_socket(loop.raw(), handle, peer); });
    uv_poll_start(poll.get(), UV_READABLE, [](uv_poll_t* handle, int, int) {
      if (handle->data != nullptr) static_cast<TcpConnection*>(handle->data)->take_in();
    });
  }
  void take_in() {
    std::array<char, std::size_t{64} * 1024> bytes;
    const ssize_t count = recv(peer, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (count > 0) heard.append(bytes.data(), static_cast<std::size_t>(count));
    if (count == 0) {
      has_ended = true;
      poll.reset();
    }
  }
  void close_peer() {
    poll.reset();
    if (peer >= 0) close(std::exchange(peer, -1));
  }
  // What it has not read is reset.
  void reset_peer() {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    REQUIRE(setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    close_peer();
  }

  std::unique_ptr<TcpStream> stream;
  int peer = -1;
  HandlePtr<uv_poll_t> poll;
  std::string heard;
  bool has_ended = false;
};

// Lets the loop work off everything that it could do without waiting.
inline void some_turns(Loop& loop) {
  for (int turn = 0; turn < 8; ++turn) uv_run(loop.raw(), UV_RUN_NOWAIT);
}

}  // namespace ggufd::loop::test
