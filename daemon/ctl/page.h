// Lines of a report, as wide as the terminal: titles, wrapped sentences, tables. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ctl/table.h"
#include "ctl/terminal.h"

namespace ggufd::ctl {

// "270 M", "4.02 B": thousands, millions, (short) billions, trillions; three digits.
std::string human_count(std::uint64_t number);

class Page {
 public:
  // What is no terminal is as wide as most of them: 80 columns.
  explicit Page(const Terminal& terminal);

  std::size_t columns() const { return columns_; }
  const Style& style() const { return style_; }
  const std::string& text() const { return text_; }

  void blank() { text_ += '\n'; }
  // After an empty line.
  void title(std::string_view text);
  // On a terminal cut to its width; elsewhere whole.
  void line(std::size_t indent, std::string_view text, Colour colour = Colour::plain);
  void wrapped(std::size_t indent, std::string_view text, Colour colour = Colour::plain);
  // Lines with their ends, as they are.
  void append(std::string_view lines) { text_ += lines; }
  // A line that is painted already.
  void painted_line(std::size_t indent, std::string_view text);
  void table(const std::vector<Column>& titles, const std::vector<std::vector<Cell>>& rows,
             std::size_t indent);

 private:
  bool is_terminal_;
  std::size_t columns_;
  Style style_;
  std::string text_;
};

}  // namespace ggufd::ctl
