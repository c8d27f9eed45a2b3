// A daemon as a test writes it: a Unix socket, a thread, and a script for each connection.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "protocol/frame.h"

namespace ggufd::test {

// The daemon's end of one connection.
class Peer {
 public:
  explicit Peer(int descriptor) : descriptor_(descriptor) {}
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() { close(descriptor_); }

  // False once the client has gone.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }
  bool send(const StatusEvent& event) { return send(encoded(event)); }
  void answer(const std::string& id, const AnswerBody& body) {
    fmt::memory_buffer out;
    encode_answer(id, body, out);
    send(std::string_view(out.data(), out.size()));
  }
  void refuse(const std::string& id, ErrorCode code, std::string message) {
    fmt::memory_buffer out;
    encode_error(id, {code, std::move(message)}, out);
    send(std::string_view(out.data(), out.size()));
  }

  // The next line; none where the client has gone.
  std::optional<std::string> read_line() {
    while (true) {
      if (const std::size_t end = received_.find('\n'); end != std::string::npos) {
        std::string line = received_.substr(0, end);
        received_.erase(0, end + 1);
        return line;
      }
      char buffer[4096];
      const ssize_t count = recv(descriptor_, buffer, sizeof buffer, 0);
      if (count <= 0) return std::nullopt;
      received_.append(buffer, static_cast<std::size_t>(count));
    }
  }
  std::optional<Request> read_request() {
    const auto line = read_line();
    if (!line) return std::nullopt;
    auto request = decode_request(*line);
    if (!request) return std::nullopt;
    return std::move(*request);
  }
  void wait_for_end() {
    while (read_line()) {
    }
  }

 private:
  int descriptor_;
  std::string received_;
};

class FakeDaemon {
 public:
  using Script = std::function<void(Peer&)>;

  // Runs `script` for one connection after the other.
  explicit FakeDaemon(Script script) : script_(std::move(script)) {
    char folder[] = "/tmp/ggufd-test-XXXXXX";
    if (!mkdtemp(folder)) throw std::runtime_error("mkdtemp");
    folder_ = folder;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, socket().data(), socket().size());
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener_, 8) != 0) {
      throw std::runtime_error("cannot listen");
    }
    thread_ = std::thread([this] { serve(); });
  }
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;
  ~FakeDaemon() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
    unlink(socket().c_str());
    rmdir(folder_.c_str());
  }

  const std::string& folder() const { return folder_; }
  std::string socket() const { return folder_ + "/admin.sock"; }

 private:
  void serve() {
    while (true) {
      const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) return;
      Peer peer(connection);
      script_(peer);
    }
  }

  Script script_;
  std::string folder_;
  int listener_ = -1;
  std::thread thread_;
};

}  // namespace ggufd::test
