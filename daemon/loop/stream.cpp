#include "loop/stream.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

namespace ggufd::loop {
namespace {

uv_stream_t* as_stream(uv_pipe_t* pipe) {
  return reinterpret_cast<uv_stream_t*>(pipe);
}

// What is read is used up within the callback, so all streams of a thread share one buffer.
void lend_buffer(uv_handle_t*, std::size_t, uv_buf_t* buffer) {
  thread_local std::array<char, 64 * 1024> shared;
  *buffer = uv_buf_init(shared.data(), static_cast<unsigned>(shared.size()));
}

}  // namespace

struct Stream::Write {
  uv_write_t uv{};
  std::shared_ptr<const void> holder;
  OnWritten on_written;
};

Stream::Stream(Loop& loop)
    : loop_(loop),
      handle_(
          make_handle<uv_pipe_t>(this, [&](auto* handle) { return uv_pipe_init(loop.raw(), handle, 0); })) {}

Result<void> Stream::accept(uv_stream_t* server) {
  const int status = uv_accept(server, as_stream(handle_.get()));
  if (status != 0) return std::unexpected(uv_error("accepting a connection", status));
  return {};
}

Result<PeerCredentials> Stream::peer() const {
  uv_os_fd_t fd = -1;
  ucred credentials{};
  socklen_t size = sizeof credentials;
  uv_fileno(reinterpret_cast<const uv_handle_t*>(handle_.get()), &fd);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return std::unexpected(system_error("reading a peer's credentials", errno));
  }
  return PeerCredentials{credentials.uid, credentials.gid, credentials.pid};
}

bool Stream::peer_is_gone() const {
  uv_os_fd_t fd = -1;
  uv_fileno(reinterpret_cast<const uv_handle_t*>(handle_.get()), &fd);
  pollfd state{fd, 0, 0};
  return poll(&state, 1, 0) > 0 && (state.revents & (POLLHUP | POLLERR)) != 0;
}

void Stream::start_reading(OnBytes on_bytes, OnEnd on_end) {
  on_bytes_ = std::move(on_bytes);
  on_end_ = std::move(on_end);
  uv_read_start(as_stream(handle_.get()), lend_buffer,
                [](uv_stream_t* handle, ssize_t count, const uv_buf_t* buffer) {
                  auto& stream = *static_cast<Stream*>(handle->data);
                  if (count > 0) {
                    // A copy of the function: it may destroy the stream while it runs.
                    const OnBytes read = stream.on_bytes_;
                    read({buffer->base, static_cast<std::size_t>(count)});
                  } else if (count < 0) {
                    uv_read_stop(handle);
                    const OnEnd ended = stream.on_end_;
                    ended();
                  }
                });
}

void Stream::stop_reading() {
  uv_read_stop(as_stream(handle_.get()));
}

Result<std::size_t> Stream::try_write(std::span<const uv_buf_t> pieces) {
  const int written =
      uv_try_write(as_stream(handle_.get()), pieces.data(), static_cast<unsigned>(pieces.size()));
  if (written == UV_EAGAIN) return 0;
  if (written < 0) return std::unexpected(uv_error("writing to a connection", written));
  return static_cast<std::size_t>(written);
}

void Stream::write(std::span<const uv_buf_t> pieces, std::shared_ptr<const void> holder,
                   OnWritten on_written) {
  write_ = new Write{.holder = std::move(holder), .on_written = std::move(on_written)};
  write_->uv.data = write_;
  const int status = uv_write(&write_->uv, as_stream(handle_.get()), pieces.data(),
                              static_cast<unsigned>(pieces.size()), [](uv_write_t* uv, int write_status) {
                                const std::unique_ptr<Write> ended(static_cast<Write*>(uv->data));
                                auto* stream = static_cast<Stream*>(uv->handle->data);
                                if (stream == nullptr) return;  // closed meanwhile
                                stream->write_ = nullptr;
                                ended->on_written(write_status == 0);
                              });
  if (status == 0) return;
  // libuv did not take it (a closed socket): told at the end of the turn, unless the stream has gone by then.
  refused_.reset(write_);
  loop_.at_end_of_turn([this, watch = std::weak_ptr<Write>(refused_)] {
    const std::shared_ptr<Write> ended = watch.lock();
    if (ended == nullptr) return;
    refused_ = nullptr;
    write_ = nullptr;
    ended->on_written(false);
  });
}

std::size_t Stream::unwritten_bytes() const {
  return uv_stream_get_write_queue_size(reinterpret_cast<const uv_stream_t*>(handle_.get()));
}

void Stream::end_writing() {
  auto shutdown = std::make_unique<uv_shutdown_t>();
  const int status =
      uv_shutdown(shutdown.get(), as_stream(handle_.get()), [](uv_shutdown_t* ended, int) { delete ended; });
  if (status == 0) shutdown.release();
}

}  // namespace ggufd::loop
