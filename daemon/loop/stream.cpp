#include "loop/stream.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "loop/socket_io.h"

namespace ggufd::loop {

Result<std::unique_ptr<Stream>> Stream::take(Loop& loop, int fd) {
  std::unique_ptr<Stream> stream(new Stream(fd));
  auto poll = std::make_unique<uv_poll_t>();
  if (const int status = uv_poll_init_socket(loop.raw(), poll.get(), fd)) {
    return std::unexpected(uv_error("watching a connection", status));
  }
  poll->data = stream.get();
  stream->poll_.reset(poll.release());
  return stream;
}

Stream::~Stream() {
  if (is_destroyed_ != nullptr) *is_destroyed_ = true;
  poll_.reset();  // libuv lets go of the descriptor at once
  close(fd_);
}

std::vector<gid_t> Stream::peer_groups() const {
  std::vector<gid_t> groups(32);
  auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  int status = getsockopt(fd_, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  if (status != 0 && errno == ERANGE) {  // `size` says how many bytes it takes
    groups.resize(size / sizeof(gid_t));
    status = getsockopt(fd_, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  }
  groups.resize(status == 0 ? size / sizeof(gid_t) : 0);
  return groups;
}

void Stream::start_reading(StreamUser& user) {
  user_ = &user;
  reads_ = !has_ended_;
  watch();
}

void Stream::stop_reading() {
  reads_ = false;
  watch();
}

void Stream::wait_for_room() {
  waits_for_room_ = true;
  watch();
}

// The end of the whole connection is always told by the kernel as long as it is asked for anything.
// "Priority" is an urgent byte, which nobody here sends for a reason (drop_urgent_byte): a stream that wants
// nothing else waits for that end only. Asking costs two system calls, so it is asked for changes only.
void Stream::watch() {
  const int events = UV_PRIORITIZED | (reads_ ? UV_READABLE : 0) | (waits_for_room_ ? UV_WRITABLE : 0);
  if (std::exchange(watched_, events) == events) return;
  uv_poll_start(poll_.get(), events, [](uv_poll_t* poll, int status, int seen) {
    if (poll->data != nullptr) static_cast<Stream*>(poll->data)->act(status, seen);
  });
}

// An error of the socket (the peer has gone and left something unread) comes as a `status`, with the watching
// stopped: what the peer said before is still there to be read.
void Stream::act(int status, int events) {
  bool is_destroyed = false;
  is_destroyed_ = &is_destroyed;
  const bool is_broken = status < 0;
  if (is_broken) watched_ = 0;
  if ((events & UV_PRIORITIZED) != 0) drop_urgent_byte();
  const bool had_ended = has_ended_;
  if ((events & UV_WRITABLE) != 0 && std::exchange(waits_for_room_, false)) user_->on_room();
  if (!is_destroyed && reads_ && ((events & UV_READABLE) != 0 || is_broken)) {
    read();
  } else if (!is_destroyed && (is_broken || (events & UV_PRIORITIZED) != 0) && peer_is_gone()) {
    // Whoever has stopped reading is told as well: what it has not read is lost with its answers.
    reads_ = false;
    if (!had_ended) ended();
  }
  if (is_destroyed) return;
  if (has_ended_ && peer_is_gone()) {
    user_->on_gone();
    if (is_destroyed) return;
    uv_poll_stop(poll_.get());
  } else {
    watch();
  }
  is_destroyed_ = nullptr;
}

// MSG_OOB, which Unix sockets know since Linux 5.15: left where it is, the kernel would tell of it in every
// turn.
void Stream::drop_urgent_byte() const {
  char byte = 0;
  [[maybe_unused]] const ssize_t count = recv(fd_, &byte, 1, MSG_OOB | MSG_DONTWAIT);
}

void Stream::read() {
  const Received received = receive_now(fd_);
  if (received.kind == Received::Kind::bytes) return user_->on_bytes(received.bytes);
  if (received.kind == Received::Kind::nothing_yet) return;
  reads_ = false;
  ended();
}

void Stream::ended() {
  has_ended_ = true;
  user_->on_end();
}

// Its whole end is closed, not only its sending.
bool Stream::peer_is_gone() const {
  pollfd state{fd_, 0, 0};
  return poll(&state, 1, 0) > 0 && (state.revents & (POLLHUP | POLLERR)) != 0;
}

Result<std::size_t> Stream::try_write(std::span<const iovec> pieces) {
  return send_now(fd_, pieces);
}

std::size_t Stream::unread_kernel_bytes() const {
  int bytes = 0;
  return ioctl(fd_, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
}

void Stream::end_writing() {
  shutdown(fd_, SHUT_WR);
}

}  // namespace ggufd::loop
