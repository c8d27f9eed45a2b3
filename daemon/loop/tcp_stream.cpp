#include "loop/tcp_stream.h"

#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "loop/socket_io.h"

namespace ggufd::loop {

Result<std::unique_ptr<TcpStream>> TcpStream::take(Loop& loop, int fd) {
  std::unique_ptr<TcpStream> stream(new TcpStream(fd));
  auto poll = std::make_unique<uv_poll_t>();
  if (const int status = uv_poll_init_socket(loop.raw(), poll.get(), fd)) {
    return std::unexpected(uv_error("watching a connection", status));
  }
  poll->data = stream.get();
  stream->poll_.reset(poll.release());
  return stream;
}

TcpStream::~TcpStream() {
  if (is_destroyed_ != nullptr) *is_destroyed_ = true;
  poll_.reset();  // libuv lets go of the descriptor at once
  close(fd_);
}

void TcpStream::start_reading(StreamUser& user) {
  user_ = &user;
  reads_ = !has_ended_;
  watch();
}

void TcpStream::stop_reading() {
  reads_ = false;
  watch();
}

void TcpStream::wait_for_room() {
  waits_for_room_ = true;
  watch();
}

// The kernel tells that both sides have ended as long as it is asked for anything, and that is no reason to
// read: who wants nothing asks for nothing.
void TcpStream::watch() {
  const int events = (reads_ ? UV_READABLE : 0) | (waits_for_room_ ? UV_WRITABLE : 0);
  if (std::exchange(watched_, events) == events) return;
  if (events == 0) {
    uv_poll_stop(poll_.get());
    return;
  }
  uv_poll_start(poll_.get(), events, [](uv_poll_t* poll, int status, int seen) {
    if (poll->data != nullptr) static_cast<TcpStream*>(poll->data)->act(status, seen);
  });
}

// An error of the socket comes as a `status`, with the watching stopped: what arrived before is still there
// to be read, and a write says what the error is.
void TcpStream::act(int status, int events) {
  bool is_destroyed = false;
  is_destroyed_ = &is_destroyed;
  const bool is_broken = status < 0;
  if (is_broken) watched_ = 0;
  if (((events & UV_WRITABLE) != 0 || is_broken) && std::exchange(waits_for_room_, false)) user_->on_room();
  if (!is_destroyed && reads_ && ((events & UV_READABLE) != 0 || is_broken)) read();
  if (is_destroyed) return;
  is_destroyed_ = nullptr;
  watch();
}

void TcpStream::read() {
  const Received received = receive_now(fd_);
  if (received.kind == Received::Kind::bytes) return user_->on_bytes(received.bytes);
  if (received.kind == Received::Kind::nothing_yet) return;
  reads_ = false;
  has_ended_ = true;
  const bool* is_destroyed = is_destroyed_;
  user_->on_end();
  if (received.kind == Received::Kind::broken && !*is_destroyed) user_->on_gone();
}

Result<std::size_t> TcpStream::try_write(std::span<const iovec> pieces) {
  return send_now(fd_, pieces);
}

void TcpStream::end_writing() {
  shutdown(fd_, SHUT_WR);
}

}  // namespace ggufd::loop
