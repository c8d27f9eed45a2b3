#include "loop/socket_io.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace ggufd::loop {

Received receive_now(int fd) {
  thread_local std::array<char, std::size_t{64} * 1024> buffer;
  const ssize_t count = recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count > 0) return {Received::Kind::bytes, {buffer.data(), static_cast<std::size_t>(count)}};
  if (count == 0) return {Received::Kind::end, {}};
  const bool is_temporary = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  return {is_temporary ? Received::Kind::nothing_yet : Received::Kind::broken, {}};
}

Result<std::size_t> send_now(int fd, std::span<const iovec> pieces) {
  constexpr int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = pieces.size();
  ssize_t written = 0;
  do {
    // For one piece, as most are, the shorter way through the kernel.
    written = pieces.size() == 1 ? send(fd, pieces.front().iov_base, pieces.front().iov_len, flags)
                                 : sendmsg(fd, &message, flags);
  } while (written < 0 && errno == EINTR);
  if (written >= 0) return static_cast<std::size_t>(written);
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) return 0;
  return std::unexpected(system_error("writing to a connection", errno, ErrorCode::network));
}

}  // namespace ggufd::loop
