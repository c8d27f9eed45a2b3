// One connection of a Unix socket.
#pragma once

#include <uv.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "loop/loop.h"

namespace ggufd::loop {

// Who is at the other end, as the kernel says (SO_PEERCRED).
struct PeerCredentials {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
};

// Destroying a stream closes it; no callback comes afterwards. A callback may destroy the stream.
class Stream {
 public:
  // on_bytes gets what was read, valid during the call; on_end comes once, at the peer's end or at an error.
  using OnBytes = std::function<void(std::string_view bytes)>;
  using OnEnd = std::function<void()>;
  using OnWritten = std::move_only_function<void(bool ok)>;

  explicit Stream(Loop& loop);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // A new connection of a listening handle.
  Result<void> accept(uv_stream_t* server);
  Result<PeerCredentials> peer() const;

  // The peer has closed its whole end, not only its writing half: nobody will read any more.
  bool peer_is_gone() const;

  void start_reading(OnBytes on_bytes, OnEnd on_end);
  void stop_reading();

  // Writes as much as the socket takes now, without waiting: the number of bytes, 0 where it is full. Not
  // while a write() is under way.
  Result<std::size_t> try_write(std::span<const uv_buf_t> pieces);
  // Writes all of it when the socket takes it; `holder` keeps the bytes alive until then. One at a time.
  void write(std::span<const uv_buf_t> pieces, std::shared_ptr<const void> holder, OnWritten on_written);
  bool is_writing() const { return write_ != nullptr; }
  // Bytes of that write which the socket has not taken yet.
  std::size_t unwritten_bytes() const;

  // Nothing will be written any more: the peer reads end of file after what was written. It can still be read
  // from.
  void end_writing();

 private:
  struct Write;

  Loop& loop_;
  HandlePtr<uv_pipe_t> handle_;
  OnBytes on_bytes_;
  OnEnd on_end_;
  Write* write_ = nullptr;          // owned by libuv until it has called back, or by refused_
  std::shared_ptr<Write> refused_;  // one that libuv did not take, until that is told
};

}  // namespace ggufd::loop
