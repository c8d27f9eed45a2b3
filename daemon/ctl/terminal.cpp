#include "ctl/terminal.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <string>

namespace ggufd::ctl {
namespace {

std::size_t size_variable(const config::Environment& environment, const char* name, std::size_t fallback) {
  const std::optional<std::string> text = environment(name);
  if (!text) return fallback;
  std::size_t size = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), size);
  const bool is_number = error == std::errc() && end == text->data() + text->size();
  return is_number && size > 0 && size <= 10'000 ? size : fallback;
}

const char* sgr(Colour colour) {
  switch (colour) {
    case Colour::plain:
      return "0";
    case Colour::red:
      return "31";
    case Colour::green:
      return "32";
    case Colour::yellow:
      return "33";
    case Colour::cyan:
      return "36";
    case Colour::dim:
      return "2";
    case Colour::bold:
      return "1";
  }
  return "0";
}

}  // namespace

bool is_utf8_locale(const config::Environment& environment) {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    std::optional<std::string> value = environment(name);
    if (!value) continue;
    std::transform(value->begin(), value->end(), value->begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return value->find("utf-8") != std::string::npos || value->find("utf8") != std::string::npos;
  }
  return false;
}

Terminal terminal_of(int descriptor, const config::Environment& environment) {
  Terminal terminal;
  terminal.style.utf8 = is_utf8_locale(environment);
  if (isatty(descriptor) == 0) {
    terminal.columns = 0;
    return terminal;
  }
  terminal.is_live = environment("TERM").value_or("dumb") != "dumb";
  terminal.style.colour = terminal.is_live && !environment("NO_COLOR");
  winsize size{};
  const bool knows_size = ioctl(descriptor, TIOCGWINSZ, &size) == 0;
  terminal.columns = knows_size && size.ws_col > 0 ? size.ws_col : size_variable(environment, "COLUMNS", 80);
  terminal.rows = knows_size && size.ws_row > 0 ? size.ws_row : size_variable(environment, "LINES", 24);
  return terminal;
}

std::string painted(std::string_view text, Colour colour, const Style& style) {
  if (!style.colour || colour == Colour::plain) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", sgr(colour), text);
}

}  // namespace ggufd::ctl
