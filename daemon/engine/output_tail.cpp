#include "engine/output_tail.h"

#include <algorithm>

#include "protocol/utf8.h"

namespace ggufd::engine {
namespace {

constexpr char escape = '\x1B';

// Bytes of the escape sequence that `text` begins with (ECMA-48, 5.4: parameters, intermediates, a final
// byte); 1 where it is none that is complete.
std::size_t escape_sequence_length(std::string_view text) {
  if (text.size() < 2 || text[1] != '[') return 1;
  std::size_t i = 2;
  while (i < text.size() && text[i] >= 0x20 && text[i] <= 0x3F) ++i;
  return i < text.size() && text[i] >= 0x40 && text[i] <= 0x7E ? i + 1 : 1;
}

// Of a well-formed sequence: U+0000 to U+001F and U+007F to U+009F.
bool is_control(std::string_view sequence) {
  const auto first = static_cast<unsigned char>(sequence[0]);
  if (sequence.size() == 1) return first < 0x20 || first == 0x7F;
  return first == 0xC2 && static_cast<unsigned char>(sequence[1]) < 0xA0;
}

bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

}  // namespace

void OutputTail::append(std::string_view bytes) {
  const std::size_t excess = bytes.size() > bytes_max ? bytes.size() - bytes_max : 0;
  if (excess > 0) {
    begins_line_ = bytes[excess - 1] == '\n';
    bytes_.assign(bytes.substr(excess));
    return;
  }
  if (bytes_.size() + bytes.size() > 2 * bytes_max) {
    const std::size_t dropped = bytes_.size() + bytes.size() - bytes_max;
    begins_line_ = bytes_[dropped - 1] == '\n';
    bytes_.erase(0, dropped);
  }
  bytes_ += bytes;
}

std::string_view OutputTail::bytes() const {
  const std::string_view all = bytes_;
  return all.substr(all.size() - std::min(all.size(), bytes_max));
}

std::string OutputTail::text(std::size_t max_bytes) const {
  const std::string_view kept = bytes();
  const std::size_t dropped = bytes_.size() - kept.size();
  bool begins_line = dropped == 0 ? begins_line_ : bytes_[dropped - 1] == '\n';
  std::string text = readable_text(kept);
  if (text.size() > max_bytes) {
    const std::size_t excess = text.size() - max_bytes;
    begins_line = text[excess - 1] == '\n';
    text.erase(0, excess);
  }
  if (begins_line) return text;
  const std::size_t line_end = text.find('\n');
  if (line_end != std::string::npos && line_end + 1 < text.size()) {
    text.erase(0, line_end + 1);
  } else {
    text.erase(0, static_cast<std::size_t>(std::ranges::find_if_not(text, is_continuation) - text.begin()));
  }
  return text;
}

std::string readable_text(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    std::size_t length = utf8_sequence_length(bytes);
    const std::string_view sequence = bytes.substr(0, length);
    if (length == 0) {
      text += utf8_replacement;
      length = 1;
    } else if (sequence[0] == escape) {
      length = escape_sequence_length(bytes);
    } else if (sequence == "\n" || sequence == "\t" || !is_control(sequence)) {
      text += sequence;
    }
    bytes.remove_prefix(length);
  }
  return text;
}

}  // namespace ggufd::engine
