// One connection to a TCP port of this machine.
#pragma once

#include <sys/uio.h>
#include <uv.h>

#include <cstddef>
#include <memory>
#include <span>

#include "loop/loop.h"
#include "loop/stream.h"

namespace ggufd::loop {

// Reads and writes as Stream does, and tells the same StreamUser. What differs is TCP's:
//   - nobody is behind it whom the kernel could name, so there are no credentials;
//   - a peer that has closed its whole end looks like one that has only ended its sending. on_gone() comes,
//     right after on_end(), where the connection is broken (reset), which is often the answer to a write;
//   - the end is told behind all that the peer has sent, however long nothing was read: a Stream that has
//     stopped reading is told at once that both sides have ended, and what it has not read is lost. In return
//     nothing at all is told while neither start_reading() nor wait_for_room() is in force.
// Destroying it closes it; no callback comes afterwards.
class TcpStream {
 public:
  // Takes over a connected, non-blocking socket: closes it also where this fails. `user` outlives the stream.
  static Result<std::unique_ptr<TcpStream>> take(Loop& loop, int fd);

  ~TcpStream();
  TcpStream(const TcpStream&) = delete;
  TcpStream& operator=(const TcpStream&) = delete;

  // Whom the stream tells; outlives it. Until then nothing is read.
  void start_reading(StreamUser& user);
  void stop_reading();

  // Writes as much as the socket takes now, without waiting: the number of bytes, 0 where it is full.
  Result<std::size_t> try_write(std::span<const iovec> pieces);
  // on_room() comes when the socket takes bytes again, or will never. Only for a stream that has been read
  // from.
  void wait_for_room();

  // Nothing will be written any more: the peer reads end of file after what was written. It can still be read
  // from.
  void end_writing();

 private:
  explicit TcpStream(int fd) : fd_(fd) {}

  void act(int status, int events);
  void read();
  void watch();

  const int fd_;
  HandlePtr<uv_poll_t> poll_;
  StreamUser* user_ = nullptr;
  bool reads_ = false;
  bool waits_for_room_ = false;
  bool has_ended_ = false;
  int watched_ = 0;               // events that libuv was asked for
  bool* is_destroyed_ = nullptr;  // of the callback that is running
};

}  // namespace ggufd::loop
