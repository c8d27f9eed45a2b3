// Small steps through a line of a program's output.
#pragma once

#include <algorithm>
#include <charconv>
#include <concepts>
#include <optional>
#include <string_view>
#include <system_error>

namespace ggufd::engine {

// What comes after the first `mark`; nothing where there is none.
inline std::optional<std::string_view> text_after(std::string_view line, std::string_view mark) {
  const std::size_t begin = line.find(mark);
  if (begin == std::string_view::npos) return std::nullopt;
  return line.substr(begin + mark.size());
}

inline std::string_view without_blanks(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  text.remove_prefix(std::min(text.size(), text.find_first_not_of(blanks)));
  return text.substr(0, text.find_last_not_of(blanks) + 1);
}

// The number that `text` begins with, which is moved behind it; nothing, and `text` as it was, where there is
// none that the type can hold.
template <std::integral T>
std::optional<T> take_number(std::string_view& text) {
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

// Whether `text` begins with `prefix`, which is then taken away.
inline bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// A line of llama-server's output without what stands before it: colours, and since May 2026 (older
// builds with --log-timestamps) the time and the level, as in "0.01.234.567 I text".
std::string_view without_stamp(std::string_view line);

}  // namespace ggufd::engine
