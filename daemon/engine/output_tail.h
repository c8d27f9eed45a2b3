// The end of what a child has printed: what people are shown of it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ggufd::engine {

class OutputTail {
 public:
  static constexpr std::size_t bytes_max = std::size_t{64} << 10U;

  void append(std::string_view bytes);

  // The last bytes_max bytes as they came; valid until the next append().
  std::string_view bytes() const;

  // The same as valid UTF-8: each byte that is none becomes U+FFFD, terminals' escape sequences and control
  // characters other than \n and \t are dropped. At most `max_bytes` of it, from a line's start where a line
  // starts within them.
  std::string text(std::size_t max_bytes) const;

 private:
  std::string bytes_;        // at most twice bytes_max, so that its front is dropped once in so many bytes
  bool begins_line_ = true;  // what bytes_ begins with is the start of a line
};

// Bytes as text() has them.
std::string readable_text(std::string_view bytes);

}  // namespace ggufd::engine
