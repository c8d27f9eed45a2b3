#include "ctl/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "ctl/human.h"

namespace ggufd::ctl {
namespace {

constexpr std::size_t default_columns = 80;

struct Unit {
  const char* name;
  double number;
};
constexpr std::array<Unit, 4> units{{{"T", 1e12}, {"B", 1e9}, {"M", 1e6}, {"K", 1e3}}};

}  // namespace

std::string human_count(std::uint64_t number) {
  const auto value = static_cast<double>(number);
  for (const Unit& unit : units) {
    // Not below one when rounded.
    if (value < unit.number * 0.9995) continue;
    const double count = value / unit.number;
    const int decimals = count < 9.995 ? 2 : (count < 99.95 ? 1 : 0);
    return fmt::format("{:.{}f} {}", count, decimals, unit.name);
  }
  return fmt::format("{}", number);
}

Page::Page(const Terminal& terminal)
    : is_terminal_(terminal.columns != 0),
      columns_(is_terminal_ ? terminal.columns : default_columns),
      style_(terminal.style) {}

void Page::title(std::string_view text) {
  blank();
  line(0, text, Colour::bold);
}

void Page::line(std::size_t indent, std::string_view text, Colour colour) {
  const std::size_t room = columns_ - std::min(columns_, indent);
  painted_line(
      indent, painted(is_terminal_ ? cut(text, room, style_.ellipsis()) : std::string(text), colour, style_));
}

void Page::wrapped(std::size_t indent, std::string_view text, Colour colour) {
  const std::size_t room = std::max<std::size_t>(columns_ - std::min(columns_, indent), 2);
  for (const std::string& line : ctl::wrapped(text, room))
    painted_line(indent, painted(line, colour, style_));
}

void Page::painted_line(std::size_t indent, std::string_view text) {
  text_.append(indent, ' ').append(text).push_back('\n');
}

void Page::table(const std::vector<Column>& titles, const std::vector<std::vector<Cell>>& rows,
                 std::size_t indent) {
  const std::size_t room = is_terminal_ ? std::max<std::size_t>(columns_ - std::min(columns_, indent), 1) : 0;
  std::string_view lines;
  const std::string all = ctl::table(titles, rows, room, style_);
  for (lines = all; !lines.empty();) {
    const std::size_t end = lines.find('\n');
    painted_line(indent, lines.substr(0, end));
    lines.remove_prefix(end + 1);
  }
}

}  // namespace ggufd::ctl
