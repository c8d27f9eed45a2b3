// Reading and writing a connected socket without waiting.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "protocol/error.h"

namespace ggufd::loop {

struct Received {
  enum class Kind : std::uint8_t { bytes, nothing_yet, end, broken };
  Kind kind = Kind::nothing_yet;
  // Up to 64 KiB, valid until the thread's next receive_now(): all sockets of a thread share one buffer.
  std::string_view bytes;
};

Received receive_now(int fd);

// As much as the socket takes: the number of bytes, 0 where it is full. An error has the code `network`.
Result<std::size_t> send_now(int fd, std::span<const iovec> pieces);

}  // namespace ggufd::loop
