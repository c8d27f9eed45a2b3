// What the tests of the admin socket share: a server on a real loop, and programs at the other end of its
// socket.
#pragma once

#include <doctest/doctest.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "admin/server.h"
#include "admin/status_log.h"
#include "protocol/frame.h"
#include "tests/unit/loop/support.h"

namespace ggufd::admin::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool is_sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool is_sanitized = true;
#else
inline constexpr bool is_sanitized = false;
#endif
#else
inline constexpr bool is_sanitized = false;
#endif

inline Status downloading(std::uint64_t bytes, std::string url = "https://example.org/model.gguf") {
  return status::LoadingModel{phase::Download{.downloaded_bytes = bytes, .source_url = std::move(url)}};
}
inline Status mapping(std::uint64_t bytes) {
  return status::LoadingModel{phase::Mmap{.path = "/model.gguf", .resident_bytes = bytes}};
}
inline Status checking(std::string path = "/model.gguf") {
  return status::LoadingModel{phase::CheckingLocal{std::move(path)}};
}
inline Status warning(std::string message = "take care") {
  return status::Warning{"something", std::move(message)};
}

// A program that is connected to the socket, in the same thread; it never blocks.
class Peer {
 public:
  explicit Peer(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_un address = loop::test::unix_address(path);
    REQUIRE(connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() { disappear(); }

  // As many of the bytes as the socket takes.
  std::size_t send_some(std::string_view bytes) const {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent > 0 ? static_cast<std::size_t>(sent) : 0;
  }
  void send(std::string_view bytes) const { REQUIRE(send_some(bytes) == bytes.size()); }
  // A request; `fields` follow the type, as in `,"wait":true`.
  void ask(std::string_view id, std::string_view type, std::string_view fields = "") const {
    send(fmt::format("{{\"id\":\"{}\",\"type\":\"{}\"{}}}\n", id, type, fields));
  }
  // Takes what has arrived, at most so much of it.
  void receive(std::size_t most_bytes = SIZE_MAX) {
    std::array<char, 64 * 1024> buffer;
    ssize_t count = 0;
    while (most_bytes > 0 &&
           (count = recv(fd_, buffer.data(), std::min(most_bytes, buffer.size()), MSG_DONTWAIT)) > 0) {
      bytes_.append(buffer.data(), static_cast<std::size_t>(count));
      line_count_ += static_cast<std::size_t>(std::count(buffer.begin(), buffer.begin() + count, '\n'));
      most_bytes -= static_cast<std::size_t>(count);
    }
    if (most_bytes == 0) return;
    if (count == 0) has_ended_ = true;
    if (count < 0 && errno == ECONNRESET) was_reset_ = true;
  }
  void end_sending() const { shutdown(fd_, SHUT_WR); }
  void disappear() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

  bool has_ended() const { return has_ended_; }  // it has read end of file
  bool was_reset() const { return was_reset_; }
  const std::string& bytes() const { return bytes_; }
  void forget() {
    bytes_.clear();
    line_count_ = 0;
  }

  // Of what has been received: the complete lines, with their '\n'.
  std::vector<std::string> lines() const {
    std::vector<std::string> lines;
    for (std::size_t begin = 0, end = 0; (end = bytes_.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
      lines.push_back(bytes_.substr(begin, end + 1 - begin));
    }
    return lines;
  }
  std::size_t line_count() const { return line_count_; }

 private:
  int fd_;
  std::string bytes_;
  std::size_t line_count_ = 0;
  bool has_ended_ = false;
  bool was_reset_ = false;
};

inline Frame frame_of(std::string_view line) {
  REQUIRE(line.ends_with('\n'));
  auto frame = decode_frame(line.substr(0, line.size() - 1));
  REQUIRE(frame.has_value());
  return std::move(*frame);
}
// The event that the line is; nothing where it is an answer.
inline std::optional<StatusEvent> event_of(std::string_view line) {
  const Frame frame = frame_of(line);
  const auto* event = std::get_if<StatusEvent>(&frame);
  return event != nullptr ? std::optional(*event) : std::nullopt;
}
// The id of the answer or the error that the line is; "event" where it is one.
inline std::string id_of(std::string_view line) {
  const Frame frame = frame_of(line);
  if (const auto* answer = std::get_if<AnswerFrame>(&frame)) return answer->id;
  if (const auto* error = std::get_if<ErrorFrame>(&frame)) return error->id;
  return "event";
}
inline std::optional<ErrorCode> error_of(std::string_view line) {
  const Frame frame = frame_of(line);
  const auto* error = std::get_if<ErrorFrame>(&frame);
  return error != nullptr ? std::optional(error->error.code) : std::nullopt;
}

// Answers a ping at once and keeps every other request until the test answers it.
class KeepingHandler final : public RequestHandler {
 public:
  void handle(Request request, const loop::PeerCredentials& from, Reply reply) override {
    last_peer = from;
    ++handled;
    if (verb_of(request) == Verb::ping) return reply(AnswerBody(ping_answer));
    kept.emplace_back(std::move(request), std::move(reply));
  }

  std::optional<std::string> unknown_model(const std::vector<std::string>& names) const override {
    const auto unknown = std::ranges::find(names, "unknown");
    return unknown == names.end() ? std::nullopt : std::optional(*unknown);
  }

  answer::Ping ping_answer{.version = "test", .pid = 1};
  std::vector<std::pair<Request, Reply>> kept;
  loop::PeerCredentials last_peer;
  std::size_t handled = 0;
};

// A server with its log. Model "b" is the default one.
class House {
 public:
  explicit House(Patience patience = {}, config::AdminConfig config = {})
      : log("b", [this] { server->published(); }),
        server(std::make_unique<Server>(loop, std::move(config), log, patience)) {
    std::signal(SIGPIPE, SIG_IGN);  // as the daemon does
    spdlog::set_level(spdlog::level::off);
    REQUIRE(server->listen(path(), handler).has_value());
  }

  std::string path() const { return folder.file("admin.sock"); }

  // Lets the loop work off everything that it could do without waiting: what one turn reads is answered by
  // the end of the next, and what that makes room for is written in the one after.
  void turns(int count = 4) {
    for (int turn = 0; turn < count; ++turn) uv_run(loop.raw(), UV_RUN_NOWAIT);
  }
  // Turns until reached(), which may read from peers; false where that does not come within the limit. The
  // loop never waits here: it does not watch the peers' ends.
  bool until(const auto& reached) {
    const loop::test::Stopwatch watch;
    while (!reached()) {
      if (watch.elapsed_ms() > static_cast<std::int64_t>(loop::test::limit_ms)) return false;
      uv_run(loop.raw(), UV_RUN_NOWAIT);
    }
    return true;
  }
  // A connection that the server has accepted; its snapshot has not been read.
  std::unique_ptr<Peer> connect() {
    auto peer = std::make_unique<Peer>(path());
    turns();
    return peer;
  }
  // The same with the snapshot read and forgotten.
  std::unique_ptr<Peer> watch() {
    auto peer = connect();
    peer->receive();
    peer->forget();
    return peer;
  }
  // Reads until so many lines are there.
  bool lines(Peer& peer, std::size_t count) {
    return until([&] {
      peer.receive();
      return peer.line_count() >= count;
    });
  }
  // Reads until the server ends the connection.
  bool end_of(Peer& peer) {
    return until([&] {
      peer.receive();
      return peer.has_ended() || peer.was_reset();
    });
  }
  // Whether the loop would wake up by itself although nothing happens. It does where the server keeps an eye
  // on somebody.
  bool has_running_timer() {
    bool has = false;
    uv_walk(
        loop.raw(),
        [](uv_handle_t* handle, void* found) {
          if (handle->type == UV_TIMER && uv_is_active(handle) != 0) *static_cast<bool*>(found) = true;
        },
        &has);
    return has;
  }
  // Publishes big changes, a turn each, until somebody who does not read waits for room. The last of them
  // waits in the log, like all that is published from then on. Returns how many there were.
  std::size_t fill() {
    std::size_t count = 0;
    for (; !has_running_timer(); ++count) {
      REQUIRE(count < 10'000);
      log.publish("b", warning(std::string(4000, 'x')));
      turns(1);
    }
    return count;
  }

  loop::Loop loop;
  loop::test::TempFolder folder;
  KeepingHandler handler;
  StatusLog log;
  std::unique_ptr<Server> server;
};

}  // namespace ggufd::admin::test
