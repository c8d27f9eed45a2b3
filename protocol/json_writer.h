// Writes JSON into a buffer, one call a token; commas and escapes are its own business.
//
// Text that is not UTF-8 (a file name may be anything) is written with U+FFFD in place of each bad byte, so
// that what leaves here is always valid JSON.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ggufd {

class JsonWriter {
 public:
  // The buffer must outlive the writer; what is in it stays.
  explicit JsonWriter(fmt::memory_buffer& out) : out_(out) {}

  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }

  // The next value belongs to this key. Keys are our own identifiers or model names; they are escaped all the
  // same.
  void key(std::string_view name);

  void null() { literal("null"); }
  void value(bool b) { literal(b ? "true" : "false"); }
  void value(std::string_view text);
  // Writes at most `max_bytes` between the quotes, escapes counted, and returns how many it were; what does
  // not fit is cut off, never within a character or an escape.
  std::size_t value(std::string_view text, std::size_t max_bytes);
  void value(const char* text) { value(std::string_view(text)); }
  // NaN and infinities have no JSON form and are written as null.
  void value(double number);
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  void value(T number) {
    separate();
    fmt::format_to(fmt::appender(out_), "{}", number);
  }
  // A value that is JSON already.
  void raw(std::string_view json) { literal(json); }

 private:
  void open(char bracket);
  void close(char bracket);
  void literal(std::string_view text);
  void separate();
  // Returns the bytes between the quotes.
  std::size_t quoted(std::string_view text, std::size_t max_bytes);

  fmt::memory_buffer& out_;
  bool needs_comma_ = false;
};

}  // namespace ggufd
