#include "loop/listener.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace ggufd::loop {
namespace {

constexpr int backlog = 4096;  // the kernel caps it at net.core.somaxconn
constexpr int accepts_a_turn = 64;
// How long nobody is taken where there was no descriptor for it.
constexpr std::uint64_t first_retry_ms = 100;
constexpr std::uint64_t last_retry_ms = 1000;

Result<sockaddr_un> socket_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(
        ErrorCode::io,
        fmt::format(
            "the socket path {} has {} bytes and the system allows {}; choose a shorter runtime folder", path,
            path.size(), sizeof address.sun_path - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

std::optional<int> socket_option(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  if (getsockopt(fd, SOL_SOCKET, option, &value, &size) != 0) return std::nullopt;
  return value;
}

Result<void> check_listening(int fd) {
  const auto wrong = [fd](std::string_view what) {
    return fail(ErrorCode::io, fmt::format("descriptor {} {}, and a Unix stream socket that listens was "
                                           "expected; in a socket unit that is ListenStream=/a/path",
                                           fd, what));
  };
  const auto domain = socket_option(fd, SO_DOMAIN);
  if (!domain) return wrong("is no socket");
  if (*domain != AF_UNIX) return wrong("is no Unix socket");
  if (socket_option(fd, SO_TYPE) != SOCK_STREAM) return wrong("is no stream socket");
  if (socket_option(fd, SO_ACCEPTCONN) != 1) return wrong("does not listen");
  return {};
}

// "" where it is bound to no path.
std::string bound_path(int fd) {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  if (address.sun_family != AF_UNIX) return {};
  return {address.sun_path, strnlen(address.sun_path, sizeof address.sun_path)};
}

std::optional<PeerCredentials> credentials_of(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return std::nullopt;
  return PeerCredentials{credentials.uid, credentials.gid, credentials.pid};
}

}  // namespace

Result<SocketPath> probe_socket_path(const std::string& path) {
  const auto address = socket_address(path);
  if (!address) return std::unexpected(address.error());
  struct stat info{};
  if (lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return SocketPath::free;
    return std::unexpected(system_error(fmt::format("looking at {}", path), errno));
  }
  if (!S_ISSOCK(info.st_mode)) return SocketPath::not_a_socket;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return std::unexpected(system_error("opening a socket", errno));
  const int connected = connect(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof *address);
  const int error_number = connected == 0 ? 0 : errno;
  close(fd);
  if (error_number == ENOENT) return SocketPath::free;
  if (error_number == ECONNREFUSED) return SocketPath::stale_socket;
  return SocketPath::live_socket;  // connected, or its backlog is full, or it is another's: somebody is there
}

Listener::Listener(Loop& loop, std::string path, int fd, OnConnection on_connection)
    : loop_(loop),
      path_(std::move(path)),
      fd_(fd),
      on_connection_(std::move(on_connection)),
      retry_(loop, [this] { watch(); }) {}

Result<std::unique_ptr<Listener>> Listener::listen(Loop& loop, std::string path, OnConnection on_connection,
                                                   SocketAccess access, OnExhausted on_exhausted) {
  if (const auto address = socket_address(path); !address) return std::unexpected(address.error());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return std::unexpected(system_error("opening a socket", errno));
  std::unique_ptr<Listener> listener(new Listener(loop, std::move(path), fd, std::move(on_connection)));
  listener->on_exhausted_ = std::move(on_exhausted);
  if (auto bound = listener->bind(access); !bound) return std::unexpected(bound.error());
  if (auto watching = listener->start_watching(); !watching) return std::unexpected(watching.error());
  return listener;
}

Result<std::unique_ptr<Listener>> Listener::adopt(Loop& loop, int fd, OnConnection on_connection,
                                                  OnExhausted on_exhausted) {
  std::unique_ptr<Listener> listener(new Listener(loop, bound_path(fd), fd, std::move(on_connection)));
  listener->on_exhausted_ = std::move(on_exhausted);
  if (auto checked = check_listening(fd); !checked) return std::unexpected(checked.error());
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return std::unexpected(system_error(fmt::format("preparing descriptor {}", fd), errno));
  }
  if (auto watching = listener->start_watching(); !watching) return std::unexpected(watching.error());
  return listener;
}

Result<void> Listener::start_watching() {
  auto poll = std::make_unique<uv_poll_t>();
  if (const int status = uv_poll_init_socket(loop_.raw(), poll.get(), fd_)) {
    return std::unexpected(uv_error(fmt::format("watching {}", path_), status));
  }
  poll->data = this;
  poll_.reset(poll.release());
  watch();
  return {};
}

Result<void> Listener::bind(const SocketAccess& access) {
  const auto address = socket_address(path_);
  if (::bind(fd_, reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    return std::unexpected(system_error(fmt::format("binding {}", path_), errno));
  }
  is_bound_ = true;
  // Nobody can connect before listen(), so the mode is right from the first moment that counts.
  if (access.group && chown(path_.c_str(), static_cast<uid_t>(-1), *access.group) != 0) {
    return std::unexpected(system_error(fmt::format("giving {} to group {}", path_, *access.group), errno));
  }
  if (chmod(path_.c_str(), access.mode) != 0) {
    return std::unexpected(system_error(fmt::format("setting the mode of {}", path_), errno));
  }
  if (::listen(fd_, backlog) != 0) {
    return std::unexpected(system_error(fmt::format("listening on {}", path_), errno));
  }
  return {};
}

Listener::~Listener() {
  poll_.reset();
  close(fd_);
  if (is_bound_) unlink(path_.c_str());
}

void Listener::watch() {
  uv_poll_start(poll_.get(), UV_READABLE, [](uv_poll_t* poll, int, int) {
    if (poll->data != nullptr) static_cast<Listener*>(poll->data)->accept_some();
  });
}

// A flood of connections takes its turns like everything else.
void Listener::accept_some() {
  // A copy of the function: it may destroy the listener while it runs. The handle's `data` tells.
  const OnConnection on_connection = on_connection_;
  uv_poll_t* poll = poll_.get();
  for (int i = 0; i < accepts_a_turn && poll->data != nullptr; ++i) {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) back_off(errno);
      return;
    }
    retry_ms_ = 0;
    const auto peer = credentials_of(fd);
    auto stream = Stream::take(loop_, fd);
    if (peer && stream) on_connection(std::move(*stream), *peer);
  }
}

void Listener::back_off(int error_number) {
  uv_poll_stop(poll_.get());
  if (retry_ms_ == 0 && on_exhausted_) {
    on_exhausted_(system_error(fmt::format("taking a connection to {}", path_), error_number));
  }
  retry_ms_ = std::clamp(2 * retry_ms_, first_retry_ms, last_retry_ms);
  retry_.start_once(retry_ms_);
}

}  // namespace ggufd::loop
