#include "ctl/human.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

#include "protocol/utf8.h"

namespace ggufd::ctl {
namespace {

struct Unit {
  const char* name;
  double bytes;
};
constexpr std::array<Unit, 5> units{
    {{"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}, {"PiB", 0x1p50}}};

// The unit in which `bytes` is below 1024 when rounded to one decimal; none for plain bytes.
const Unit* unit_of(std::uint64_t bytes) {
  if (bytes < 1024) return nullptr;
  const auto value = static_cast<double>(bytes);
  const auto unit =
      std::find_if(units.begin(), units.end(), [&](const Unit& u) { return value / u.bytes < 1023.95; });
  return unit == units.end() ? &units.back() : &*unit;
}

char32_t code_point(std::string_view sequence) {
  const auto byte = [&](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(sequence[i]));
  };
  switch (sequence.size()) {
    case 1:
      return byte(0);
    case 2:
      return (byte(0) & 0x1FU) << 6U | (byte(1) & 0x3FU);
    case 3:
      return (byte(0) & 0x0FU) << 12U | (byte(1) & 0x3FU) << 6U | (byte(2) & 0x3FU);
    default:
      return (byte(0) & 0x07U) << 18U | (byte(1) & 0x3FU) << 12U | (byte(2) & 0x3FU) << 6U |
             (byte(3) & 0x3FU);
  }
}

using Range = std::pair<char32_t, char32_t>;

bool is_in(char32_t c, const auto& ranges) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const Range& r) { return c >= r.first && c <= r.second; });
}

// C0, DEL and C1 controls, the line separators, and what reorders the text around it (Unicode TR 9).
constexpr std::array<Range, 6> controls{
    {{0, 0x1F}, {0x7F, 0x9F}, {0x200E, 0x200F}, {0x2028, 0x202E}, {0x2066, 0x2069}, {0x061C, 0x061C}}};
// The blocks that take two columns and no column, as far as model names, paths and messages have a use for
// them (Unicode TR 11, EastAsianWidth.txt).
constexpr std::array<Range, 10> wide{{{0x1100, 0x115F},
                                      {0x2E80, 0x303E},
                                      {0x3041, 0xA4CF},
                                      {0xAC00, 0xD7A3},
                                      {0xF900, 0xFAFF},
                                      {0xFE30, 0xFE6F},
                                      {0xFF00, 0xFF60},
                                      {0xFFE0, 0xFFE6},
                                      {0x1F300, 0x1FAFF},
                                      {0x20000, 0x3FFFD}}};
constexpr std::array<Range, 5> zero_width{
    {{0x0300, 0x036F}, {0x200B, 0x200D}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF}}};

struct Character {
  std::size_t bytes;
  std::size_t columns;
};

Character first_character(std::string_view text) {
  const std::size_t bytes = utf8_sequence_length(text);
  if (bytes == 0) return {1, 1};
  const char32_t c = code_point(text.substr(0, bytes));
  if (c < 0x300) return {bytes, 1};
  if (is_in(c, zero_width)) return {bytes, 0};
  return {bytes, is_in(c, wide) ? 2U : 1U};
}

}  // namespace

std::string human_bytes(std::uint64_t bytes) {
  const Unit* unit = unit_of(bytes);
  if (!unit) return fmt::format("{} B", bytes);
  return fmt::format("{:.1f} {}", static_cast<double>(bytes) / unit->bytes, unit->name);
}

std::string human_part(std::uint64_t bytes, std::uint64_t total_bytes) {
  const Unit* unit = unit_of(total_bytes);
  if (!unit) return fmt::format("{}/{} B", bytes, total_bytes);
  return fmt::format("{:.1f}/{}", static_cast<double>(bytes) / unit->bytes, human_bytes(total_bytes));
}

std::string human_clock(std::uint64_t seconds) {
  const std::uint64_t minutes = seconds / 60;
  const std::uint64_t hours = minutes / 60;
  if (hours >= 24) return fmt::format("{} d {} h", hours / 24, hours % 24);
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes % 60, seconds % 60);
  return fmt::format("{}:{:02}", minutes, seconds % 60);
}

std::string human_ms(std::uint64_t milliseconds) {
  if (milliseconds < 1000) return fmt::format("{} ms", milliseconds);
  // Below a minute when rounded.
  if (milliseconds < 59'950) return fmt::format("{:.1f} s", static_cast<double>(milliseconds) / 1000);
  return human_clock((milliseconds + 500) / 1000);
}

std::string human_age(std::uint64_t seconds) {
  if (seconds < 60) return fmt::format("{} s", seconds);
  if (seconds < 3600) return fmt::format("{} min", seconds / 60);
  if (seconds < 86'400) return fmt::format("{} h", seconds / 3600);
  return fmt::format("{} d", seconds / 86'400);
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t bytes = utf8_sequence_length(text);
    const std::string_view sequence = text.substr(0, std::max<std::size_t>(bytes, 1));
    text.remove_prefix(sequence.size());
    if (bytes == 0) {
      out += '?';
    } else if (is_in(code_point(sequence), controls)) {
      out += ' ';
    } else {
      out += sequence;
    }
  }
  return out;
}

std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    const Character character = first_character(text);
    columns += character.columns;
    text.remove_prefix(character.bytes);
  }
  return columns;
}

std::string_view first_columns(std::string_view text, std::size_t columns) {
  std::size_t bytes = 0;
  while (bytes < text.size()) {
    const Character character = first_character(text.substr(bytes));
    if (character.columns > columns) break;
    columns -= character.columns;
    bytes += character.bytes;
  }
  return text.substr(0, bytes);
}

std::string cut(std::string_view text, std::size_t columns, std::string_view ellipsis) {
  if (columns_of(text) <= columns) return std::string(text);
  if (columns == 0) return "";
  return std::string(first_columns(text, columns - 1)).append(ellipsis);
}

std::vector<std::string> wrapped(std::string_view text, std::size_t columns) {
  std::vector<std::string> lines;
  while (columns_of(text) > columns) {
    std::string_view line = first_columns(text, columns);
    // A space right behind the line is as good a place as one within it.
    const std::size_t space = text.substr(0, line.size() + 1).rfind(' ');
    if (space != std::string_view::npos && space > 0) line = text.substr(0, space);
    text.remove_prefix(line.size());
    lines.emplace_back(line);
    while (text.starts_with(' ')) text.remove_prefix(1);
  }
  if (lines.empty() || !text.empty()) lines.emplace_back(text);
  return lines;
}

}  // namespace ggufd::ctl
