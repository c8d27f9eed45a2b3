// A Unix socket for an engine that can only listen on a TCP port.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "loop/listener.h"
#include "loop/loop.h"
#include "protocol/error.h"

namespace ggufd::engine {

// Carries connections of a Unix socket to a loopback port, byte for byte, as if the engine itself listened on
// that socket: what arrives goes on in the same turn of the loop; an end of sending goes on as one, behind
// all that was sent; a client that goes, or an engine that breaks a connection, ends the connection, behind
// what was read from it; a port that refuses closes the client.
//
// Bounded: a direction holds at most one read, 64 KiB, and while that waits for its taker nothing more is
// read, so a slow taker slows its sender down. At most connections_max are carried at a time; one more is
// closed as soon as it is taken.
//
// What differs from an engine that listens there itself: TCP does not tell an engine that has closed a
// connection from one that has only ended its sending. So where the engine has ended, a client that does not
// go is closed as soon as nothing has moved for linger_ms; and where both have ended their sending, what the
// engine has been too slow to take of the client's is lost.
class ByteRelay {
 public:
  static constexpr std::size_t connections_max = 256;
  static constexpr std::uint64_t default_linger_ms = 10'000;

  // Binds `socket_path`, which must be free, with mode 0600, and listens; `port` is first asked when somebody
  // connects.
  static Result<std::unique_ptr<ByteRelay>> start(loop::Loop& loop, std::string socket_path,
                                                  std::uint16_t port,
                                                  std::uint64_t linger_ms = default_linger_ms);
  // Ends all connections and unlinks the socket.
  ~ByteRelay();
  ByteRelay(const ByteRelay&) = delete;
  ByteRelay& operator=(const ByteRelay&) = delete;

  const std::string& path() const { return listener_->path(); }
  // Now open, in use or not.
  std::size_t connections() const { return connections_.size(); }
  // When somebody last came or went, or a byte last moved, by the loop's clock; 0: nobody yet.
  std::uint64_t last_used_ms() const { return last_used_ms_; }

 private:
  class Connection;

  ByteRelay(loop::Loop& loop, std::uint16_t port, std::uint64_t linger_ms);
  void carry(std::unique_ptr<loop::Stream> client);
  void end(std::uint64_t id);
  void touch() { last_used_ms_ = loop_.now_ms(); }

  loop::Loop& loop_;
  const std::uint16_t port_;
  const std::uint64_t linger_ms_;
  std::unique_ptr<loop::Listener> listener_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::uint64_t next_id_ = 0;
  std::uint64_t last_used_ms_ = 0;
};

}  // namespace ggufd::engine
