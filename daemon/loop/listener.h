// A listening Unix socket.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "loop/stream.h"
#include "loop/timer.h"

namespace ggufd::loop {

// What stands at a path where a socket is to be bound.
enum class SocketPath { free, stale_socket, live_socket, not_a_socket };
// Tries to connect to find out whether somebody listens there. `io` where it cannot be told.
Result<SocketPath> probe_socket_path(const std::string& path);

// Who may connect, as the file system has it.
struct SocketAccess {
  mode_t mode = 0600;
  std::optional<gid_t> group;  // else that of the process
};

// Listens on a path that it binds, and unlinks it at the end; or on a socket that somebody else has bound,
// whose file it leaves alone.
//
// Where the process or the system has no descriptor left, connections wait in the kernel's queue: it is tried
// again after a while that doubles from 100 ms to 1 s, and whoever has gone meanwhile makes room for them.
class Listener {
 public:
  using OnConnection = std::function<void(std::unique_ptr<Stream>, PeerCredentials)>;
  // Nobody can be taken, and why: once for each time that lasts.
  using OnExhausted = std::function<void(const Error&)>;

  // Binds `path`, which must be free, and listens. sun_path holds 107 bytes; a longer path is an error that
  // says so.
  static Result<std::unique_ptr<Listener>> listen(Loop& loop, std::string path, OnConnection on_connection,
                                                  SocketAccess access = {},
                                                  OnExhausted on_exhausted = nullptr);

  // Goes on with `fd`, which a service manager has bound and listens on, and owns it from then on, also where
  // this fails: `io` where it is no listening stream socket of the Unix kind.
  static Result<std::unique_ptr<Listener>> adopt(Loop& loop, int fd, OnConnection on_connection,
                                                 OnExhausted on_exhausted = nullptr);

  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // "" for an adopted socket that has none.
  const std::string& path() const { return path_; }

 private:
  Listener(Loop& loop, std::string path, int fd, OnConnection on_connection);
  Result<void> bind(const SocketAccess& access);
  Result<void> start_watching();
  void watch();
  void accept_some();
  void back_off(int error_number);

  Loop& loop_;
  const std::string path_;
  const int fd_;
  OnConnection on_connection_;
  OnExhausted on_exhausted_;
  HandlePtr<uv_poll_t> poll_;
  Timer retry_;
  std::uint64_t retry_ms_ = 0;
  bool is_bound_ = false;
};

}  // namespace ggufd::loop
