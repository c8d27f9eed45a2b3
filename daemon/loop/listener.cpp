#include "loop/listener.h"

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace ggufd::loop {
namespace {

constexpr int backlog = 4096;  // the kernel caps it at net.core.somaxconn

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

Listener::Listener(Loop& loop, std::string path, OnConnection on_connection)
    : loop_(loop),
      path_(std::move(path)),
      on_connection_(std::move(on_connection)),
      handle_(
          make_handle<uv_pipe_t>(this, [&](auto* handle) { return uv_pipe_init(loop.raw(), handle, 0); })) {}

Result<std::unique_ptr<Listener>> Listener::listen(Loop& loop, std::string path, OnConnection on_connection) {
  // libuv cuts a path that is too long; the check comes first.
  if (const auto address = socket_address(path); !address) return std::unexpected(address.error());
  std::unique_ptr<Listener> listener(new Listener(loop, std::move(path), std::move(on_connection)));
  const std::string& bound = listener->path_;
  if (const int status = uv_pipe_bind(listener->handle_.get(), bound.c_str())) {
    return std::unexpected(uv_error(fmt::format("binding {}", bound), status));
  }
  listener->is_bound_ = true;
  // Nobody can connect before listen(), so the mode is right from the first moment that counts.
  if (chmod(bound.c_str(), 0600) != 0) {
    return std::unexpected(system_error(fmt::format("setting the mode of {}", bound), errno));
  }
  const int status = uv_listen(reinterpret_cast<uv_stream_t*>(listener->handle_.get()), backlog,
                               [](uv_stream_t* server, int accept_status) {
                                 static_cast<Listener*>(server->data)->accept_one(accept_status);
                               });
  if (status != 0) return std::unexpected(uv_error(fmt::format("listening on {}", bound), status));
  return listener;
}

Listener::~Listener() {
  if (is_bound_) unlink(path_.c_str());
}

void Listener::accept_one(int status) {
  if (status != 0) return;
  auto stream = std::make_unique<Stream>(loop_);
  if (!stream->accept(reinterpret_cast<uv_stream_t*>(handle_.get()))) return;
  const auto peer = stream->peer();
  if (!peer) return;
  // A copy of the function: it may destroy the listener while it runs.
  const OnConnection on_connection = on_connection_;
  on_connection(std::move(stream), *peer);
}

}  // namespace ggufd::loop
