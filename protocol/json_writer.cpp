#include "protocol/json_writer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

#include "protocol/utf8.h"

namespace ggufd {
namespace {

void append(fmt::memory_buffer& out, std::string_view text) {
  out.append(text.data(), text.data() + text.size());
}

bool needs_escape(unsigned char c) {
  return c < 0x20 || c == '"' || c == '\\' || c >= 0x80;
}

// What stands for the first character of `text`, which needs an escape or is not ASCII, and how many bytes of
// `text` that character has.
struct Written {
  std::string_view text;
  std::size_t read_bytes;
};
Written escape_first(std::string_view text, std::array<char, 6>& buffer) {
  switch (text[0]) {
    case '"':
      return {"\\\"", 1};
    case '\\':
      return {"\\\\", 1};
    case '\n':
      return {"\\n", 1};
    case '\r':
      return {"\\r", 1};
    case '\t':
      return {"\\t", 1};
    default:
      break;
  }
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x20) {
    fmt::format_to(buffer.begin(), "\\u{:04x}", first);
    return {{buffer.data(), buffer.size()}, 1};
  }
  const std::size_t length = utf8_sequence_length(text);
  if (length == 0) return {utf8_replacement, 1};
  return {text.substr(0, length), length};
}

}  // namespace

void JsonWriter::key(std::string_view name) {
  separate();
  quoted(name, std::numeric_limits<std::size_t>::max());
  out_.push_back(':');
  needs_comma_ = false;
}

void JsonWriter::value(std::string_view text) {
  separate();
  quoted(text, std::numeric_limits<std::size_t>::max());
}

std::size_t JsonWriter::value(std::string_view text, std::size_t max_bytes) {
  separate();
  return quoted(text, max_bytes);
}

void JsonWriter::value(double number) {
  if (!std::isfinite(number)) return null();
  separate();
  fmt::format_to(fmt::appender(out_), "{}", number);
}

void JsonWriter::open(char bracket) {
  separate();
  out_.push_back(bracket);
  needs_comma_ = false;
}

void JsonWriter::close(char bracket) {
  out_.push_back(bracket);
  needs_comma_ = true;
}

void JsonWriter::literal(std::string_view text) {
  separate();
  append(out_, text);
}

void JsonWriter::separate() {
  if (needs_comma_) out_.push_back(',');
  needs_comma_ = true;
}

std::size_t JsonWriter::quoted(std::string_view text, std::size_t max_bytes) {
  out_.push_back('"');
  std::array<char, 6> buffer;
  std::size_t left = max_bytes;
  while (!text.empty()) {
    std::size_t plain = 0;
    while (plain < text.size() && !needs_escape(static_cast<unsigned char>(text[plain]))) ++plain;
    const Written piece = plain > 0 ? Written{text.substr(0, std::min(plain, left)), plain}  // cut anywhere
                                    : escape_first(text, buffer);
    if (piece.text.size() > left) break;
    append(out_, piece.text);
    left -= piece.text.size();
    text.remove_prefix(piece.read_bytes);
  }
  out_.push_back('"');
  return max_bytes - left;
}

}  // namespace ggufd
