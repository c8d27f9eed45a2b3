#include "store/flock_table.h"

#include <fcntl.h>

#include <array>
#include <charconv>
#include <string>

#include "store/file.h"

namespace ggufd::store {
namespace {

// Takes the next word off the line; empty at its end.
std::string_view next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(word.size());
  return word;
}

}  // namespace

// 1: FLOCK  ADVISORY  WRITE 708 08:01:131 0 EOF
// 2: -> FLOCK ... is one that waits.
FlockTable FlockTable::parse(std::string_view text) {
  FlockTable table;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    next_word(line);
    if (next_word(line) != "FLOCK") continue;
    for (int skipped = 0; skipped < 3; ++skipped) next_word(line);
    const std::string_view file = next_word(line);
    const std::string_view number = file.substr(file.rfind(':') + 1);
    std::uint64_t inode = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), inode);
    if (error == std::errc() && end == number.data() + number.size()) table.inodes_.insert(inode);
  }
  return table;
}

FlockTable FlockTable::now() {
  const auto file = open_file("/proc/locks", O_RDONLY);
  if (!file) return {};
  std::string text;
  std::array<char, 1 << 16> piece{};
  // The file has no size to know beforehand.
  constexpr std::size_t text_max_bytes = std::size_t{64} << 20U;
  while (text.size() < text_max_bytes) {
    const auto count =
        pread_all(file->get(), std::as_writable_bytes(std::span(piece)), text.size(), "/proc/locks");
    if (!count || *count == 0) break;
    text.append(piece.data(), *count);
  }
  return parse(text);
}

}  // namespace ggufd::store
