// The far ends of a relay, for tests: its clients, and an engine that only listens on TCP.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/byte_relay.h"
#include "loop/tcp_stream.h"
#include "tests/unit/loop/support.h"

namespace ggufd::engine::test {

using loop::Loop;
using loop::Stream;
using loop::TcpStream;
using loop::test::Listening;
using loop::test::run_until;
using loop::test::TempFolder;
using loop::test::unix_address;

// Either end of what is relayed: what it has heard, and what it still has to say.
template <class S>
struct Talker {
  explicit Talker(std::unique_ptr<S> of) : stream(std::move(of)) {
    stream->start_reading(heard);
    heard.on_writable = [this] { say_on(); };
  }

  void say(std::string_view text) {
    to_say += text;
    say_on();
  }
  void say_on() {
    const iovec piece{to_say.data() + said, to_say.size() - said};
    const auto written = stream->try_write({&piece, 1});
    if (!written) return;  // the other end has gone
    said += *written;
    if (!has_said_all()) stream->wait_for_room();
  }
  bool has_said_all() const { return said == to_say.size(); }
  void hear_nothing() const { stream->stop_reading(); }
  void hear_on() { stream->start_reading(heard); }
  void go() { stream.reset(); }

  Listening heard;
  std::unique_ptr<S> stream;
  std::string to_say;
  std::size_t said = 0;
};

// An engine that can only listen on a TCP port.
class TcpEngine {
 public:
  explicit TcpEngine(Loop& loop)
      : loop_(loop), fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(fd_, 512) == 0);
    socklen_t size = sizeof address;
    REQUIRE(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    poll_ = loop::make_handle<uv_poll_t>(
        this, [&](auto* handle) { return uv_poll_init_socket(loop.raw(), handle, fd_); });
    uv_poll_start(poll_.get(), UV_READABLE, [](uv_poll_t* handle, int, int) {
      if (handle->data != nullptr) static_cast<TcpEngine*>(handle->data)->take_one();
    });
  }
  TcpEngine(const TcpEngine&) = delete;
  TcpEngine& operator=(const TcpEngine&) = delete;
  ~TcpEngine() { stop_listening(); }

  std::uint16_t port() const { return port_; }
  void stop_listening() {
    poll_.reset();
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

  std::vector<std::unique_ptr<Talker<TcpStream>>> taken;

 private:
  void take_one() {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    auto stream = TcpStream::take(loop_, fd);
    REQUIRE(stream.has_value());
    taken.push_back(std::make_unique<Talker<TcpStream>>(std::move(*stream)));
  }

  Loop& loop_;
  int fd_;
  std::uint16_t port_ = 0;
  loop::HandlePtr<uv_poll_t> poll_;
};

using Caller = std::unique_ptr<Talker<Stream>>;

struct Relayed {
  explicit Relayed(std::uint64_t linger_ms = 3'600'000) {
    auto started = ByteRelay::start(loop, path, engine.port(), linger_ms);
    REQUIRE(started.has_value());
    relay = std::move(*started);
  }

  Caller call() {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const sockaddr_un address = unix_address(path);
    REQUIRE(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    auto stream = Stream::take(loop, fd);
    REQUIRE(stream.has_value());
    return std::make_unique<Talker<Stream>>(std::move(*stream));
  }
  // One that has got through to the engine.
  std::pair<Caller, Talker<TcpStream>&> connect_through() {
    Caller caller = call();
    const std::size_t before = engine.taken.size();
    REQUIRE(run_until(loop, [&] { return engine.taken.size() > before; }));
    return {std::move(caller), *engine.taken.back()};
  }
  bool until_idle() {
    return run_until(loop, [this] { return relay->connections() == 0; });
  }
  void some_turns() {
    for (int turn = 0; turn < 20; ++turn) uv_run(loop.raw(), UV_RUN_NOWAIT);
  }
  // Until what `sender` says goes nowhere any more: every buffer on the way is full.
  template <class S>
  void fill_the_way(Talker<S>& sender) {
    for (std::size_t before = sender.said + 1; before != sender.said;) {
      before = sender.said;
      some_turns();
    }
  }

  TempFolder folder;
  std::string path = folder.file("engine.sock");
  Loop loop;
  TcpEngine engine{loop};
  std::unique_ptr<ByteRelay> relay;
};

}  // namespace ggufd::engine::test
