// A place in a file of which only the first bytes may be at hand.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace ggufd::gguf {

class Cursor {
 public:
  // `bytes` is the start of a file of `file_bytes`; what it holds beyond them is not looked at.
  Cursor(std::span<const std::byte> bytes, std::uint64_t file_bytes)
      : bytes_(bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), file_bytes)))),
        file_bytes_(file_bytes) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t file_bytes() const { return file_bytes_; }
  std::uint64_t left_in_file() const { return file_bytes_ - position_; }
  std::uint64_t left_at_hand() const { return bytes_.size() - position_; }

  // The next `count` bytes, or false, with the cursor where it was.
  bool take(std::uint64_t count, std::span<const std::byte>& taken) {
    if (count > left_at_hand()) return false;
    taken = bytes_.subspan(static_cast<std::size_t>(position_), static_cast<std::size_t>(count));
    position_ += count;
    return true;
  }

  // Passes over strings, each a length of 8 bytes and so many bytes of text, until `count` of them are behind
  // the cursor or the next is not whole at hand or longer than `longest`. Returns how many are left. Each
  // length is known only when the one before was read, so the loop does nothing else.
  std::uint64_t pass_strings(std::uint64_t count, std::uint64_t longest) {
    const std::byte* at = bytes_.data() + position_;
    std::uint64_t left = left_at_hand();
    std::uint64_t length = 0;
    for (; count > 0 && left >= sizeof length; --count) {
      std::memcpy(&length, at, sizeof length);
      if (length > longest || length > left - sizeof length) break;
      at += sizeof length + length;
      left -= sizeof length + length;
    }
    position_ = bytes_.size() - left;
    return count;
  }

  template <class T>
  bool number(T& value) {
    std::span<const std::byte> raw;
    if (!take(sizeof value, raw)) return false;
    std::memcpy(&value, raw.data(), sizeof value);
    return true;
  }

 private:
  std::span<const std::byte> bytes_;
  std::uint64_t file_bytes_;
  std::uint64_t position_ = 0;
};

}  // namespace ggufd::gguf
