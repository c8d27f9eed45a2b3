#include "config/quote.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "protocol/utf8.h"

namespace ggufd::config {

namespace {

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
}

}  // namespace

bool has_control_character(std::string_view text) {
  return std::ranges::any_of(text, is_control);
}

std::string escape_controls(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  for (const char c : text) {
    if (is_control(c)) {
      fmt::format_to(std::back_inserter(escaped), "\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      escaped.push_back(c);
    }
  }
  return escaped;
}

std::string quote(std::string_view text) {
  constexpr std::size_t limit_bytes = 80;
  const std::string_view shown = utf8_prefix(text, limit_bytes);
  return fmt::format("\"{}{}\"", escape_controls(shown), shown.size() < text.size() ? "…" : "");
}

}  // namespace ggufd::config
