// A listening Unix socket.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "loop/stream.h"

namespace ggufd::loop {

// What stands at a path where a socket is to be bound.
enum class SocketPath { free, stale_socket, live_socket, not_a_socket };
// Tries to connect to find out whether somebody listens there. `io` where it cannot be told.
Result<SocketPath> probe_socket_path(const std::string& path);

// Listens on a path that only the owner may connect to (mode 0600) and unlinks it at the end.
class Listener {
 public:
  using OnConnection = std::function<void(std::unique_ptr<Stream>, PeerCredentials)>;

  // Binds `path`, which must be free, and listens. sun_path holds 107 bytes; a longer path is an error that
  // says so.
  static Result<std::unique_ptr<Listener>> listen(Loop& loop, std::string path, OnConnection on_connection);

  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  const std::string& path() const { return path_; }

 private:
  Listener(Loop& loop, std::string path, OnConnection on_connection);
  void accept_one(int status);

  Loop& loop_;
  std::string path_;
  OnConnection on_connection_;
  HandlePtr<uv_pipe_t> handle_;
  bool is_bound_ = false;
};

}  // namespace ggufd::loop
