#include "protocol/json_writer.h"

#include <cmath>
#include <cstddef>

#include "protocol/utf8.h"

namespace ggufd {
namespace {

void append(fmt::memory_buffer& out, std::string_view text) {
  out.append(text.data(), text.data() + text.size());
}

bool needs_escape(unsigned char c) {
  return c < 0x20 || c == '"' || c == '\\' || c >= 0x80;
}

void append_escaped_ascii(fmt::memory_buffer& out, char c) {
  switch (c) {
    case '"':
      return append(out, "\\\"");
    case '\\':
      return append(out, "\\\\");
    case '\n':
      return append(out, "\\n");
    case '\r':
      return append(out, "\\r");
    case '\t':
      return append(out, "\\t");
    default:
      fmt::format_to(fmt::appender(out), "\\u{:04x}", static_cast<unsigned char>(c));
  }
}

}  // namespace

void JsonWriter::key(std::string_view name) {
  separate();
  quoted(name);
  out_.push_back(':');
  needs_comma_ = false;
}

void JsonWriter::value(std::string_view text) {
  separate();
  quoted(text);
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

void JsonWriter::quoted(std::string_view text) {
  out_.push_back('"');
  while (!text.empty()) {
    std::size_t plain = 0;
    while (plain < text.size() && !needs_escape(static_cast<unsigned char>(text[plain]))) ++plain;
    append(out_, text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    if (static_cast<unsigned char>(text[0]) < 0x80) {
      append_escaped_ascii(out_, text[0]);
      text.remove_prefix(1);
      continue;
    }
    const std::size_t length = utf8_sequence_length(text);
    append(out_, length == 0 ? utf8_replacement : text.substr(0, length));
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out_.push_back('"');
}

}  // namespace ggufd
