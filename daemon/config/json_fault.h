// Where a text stops being JSON (RFC 8259), for people: simdjson says that it is not, and not where.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ggufd::config {

struct JsonFault {
  std::size_t offset = 0;  // bytes from the start
  std::string message;     // what is wrong there, as a sentence without an end
  friend bool operator==(const JsonFault&, const JsonFault&) = default;
};

// The first fault; nothing where there is none. Numbers that no 64-bit type holds count as faults, and so
// does nesting deeper than simdjson follows.
std::optional<JsonFault> find_json_fault(std::string_view text);

// Both count from 1; columns count bytes.
struct TextPosition {
  std::size_t line = 1;
  std::size_t column = 1;
  friend bool operator==(const TextPosition&, const TextPosition&) = default;
};
TextPosition position_at(std::string_view text, std::size_t offset);

}  // namespace ggufd::config
