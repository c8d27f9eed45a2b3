// Columns of text under titles, as wide as there is room for. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ctl/terminal.h"

namespace ggufd::ctl {

struct Column {
  const char* title;
  int importance;  // where there is no room for all, the least important goes first; 0: it stays
  bool is_number = false;
};

struct Cell {
  std::string text;
  Colour colour = Colour::plain;
};

// Lines, each with its '\n'. `columns` of the terminal, 0: no limit. Every row has a cell for each column.
std::string table(const std::vector<Column>& titles, const std::vector<std::vector<Cell>>& rows,
                  std::size_t columns, const Style& style);

}  // namespace ggufd::ctl
