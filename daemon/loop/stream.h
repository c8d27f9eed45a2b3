// One connection of a Unix socket.
#pragma once

#include <sys/uio.h>
#include <uv.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "loop/loop.h"

namespace ggufd::loop {

// Who is at the other end, as the kernel says (SO_PEERCRED): at the moment when it connected.
struct PeerCredentials {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
};

// What a stream tells its user. Each may destroy the stream.
class StreamUser {
 public:
  // What was read, valid during the call.
  virtual void on_bytes(std::string_view bytes) = 0;
  // Once, behind all bytes: the peer has ended its sending, or the connection is broken.
  virtual void on_end() = 0;
  // Once for each wait_for_room(): the socket takes bytes again.
  virtual void on_room() = 0;
  // Once, after on_end(): the peer has closed its whole end; nobody will read any more.
  virtual void on_gone() = 0;

 protected:
  ~StreamUser() = default;
};

// Destroying a stream closes it; no callback comes afterwards.
class Stream {
 public:
  // Takes over a connected, non-blocking socket: closes it also where this fails. `user` outlives the stream.
  static Result<std::unique_ptr<Stream>> take(Loop& loop, int fd);

  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // The groups of the peer besides its credentials' gid (SO_PEERGROUPS); none where the kernel doesn't say.
  std::vector<gid_t> peer_groups() const;

  // Whom the stream tells; outlives it. Until then nothing is read.
  void start_reading(StreamUser& user);
  void stop_reading();

  // Writes as much as the socket takes now, without waiting: the number of bytes, 0 where it is full.
  Result<std::size_t> try_write(std::span<const iovec> pieces);
  // on_room() comes when the socket takes bytes again. Only for a stream that has been read from.
  void wait_for_room();
  bool waits_for_room() const { return waits_for_room_; }

  // Memory that the kernel holds for bytes which the peer has not read (SIOCOUTQ): falls by each buffer of up
  // to 36 KiB that the peer has read to its end. 0 where the kernel doesn't say.
  std::size_t unread_kernel_bytes() const;

  // Nothing will be written any more: the peer reads end of file after what was written. It can still be read
  // from.
  void end_writing();

 private:
  explicit Stream(int fd) : fd_(fd) {}

  void act(int status, int events);
  void read();
  void ended();
  bool peer_is_gone() const;
  void drop_urgent_byte() const;
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
