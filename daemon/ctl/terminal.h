// What an output can show: decided once, from the descriptor and the environment.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "config/environment.h"

namespace ggufd::ctl {

// What text may be made of.
struct Style {
  bool utf8 = false;    // else ASCII, but for text that comes from the daemon
  bool colour = false;  // SGR sequences

  const char* ellipsis() const { return utf8 ? "…" : "~"; }
};

struct Terminal {
  bool is_live = false;      // a terminal on which lines can be redrawn in place
  std::size_t columns = 80;  // 0: no limit, the output is no terminal
  std::size_t rows = 24;
  Style style;
};

// From LC_ALL, LC_CTYPE and LANG, in this order the first that is set (locale(7)); the locale itself need not
// be installed.
bool is_utf8_locale(const config::Environment& environment);

// NO_COLOR (any value) takes the colours, TERM=dumb the colours and the redrawing; COLUMNS and LINES count
// where the terminal does not know its size.
Terminal terminal_of(int descriptor, const config::Environment& environment);

enum class Colour { plain, red, green, yellow, cyan, dim, bold };
// `text` between a colour's sequence and its end; as it is where the style has no colour.
std::string painted(std::string_view text, Colour colour, const Style& style);

}  // namespace ggufd::ctl
