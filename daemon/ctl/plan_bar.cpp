#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "ctl/plan_report.h"

namespace ggufd::ctl {
namespace {

struct Part {
  std::uint64_t bytes;
  const char* utf8;
  char ascii;
  Colour colour;
};

// Columns of the first `bytes` of `all`, rounded.
std::size_t columns_for(double bytes, double all, std::size_t columns) {
  if (all <= 0) return 0;
  return static_cast<std::size_t>(std::lround(bytes / all * static_cast<double>(columns)));
}

}  // namespace

std::string plan_bar(const answer::Plan& plan, std::size_t columns, const Style& style) {
  const std::size_t inner = std::max<std::size_t>(columns, 10) - 2;
  const std::array<Part, 3> parts{{{plan.weights_bytes, "█", '#', Colour::cyan},
                                   {plan.kv_bytes.value.value_or(0), "▓", '=', Colour::green},
                                   {plan.compute_bytes.value.value_or(0), "░", '-', Colour::yellow}}};
  double needed = 0;
  for (const Part& part : parts) needed += static_cast<double>(part.bytes);
  const double available = static_cast<double>(plan.available_bytes.value.value_or(0));
  const double all = std::max(needed, available);
  // Where memory ends within what is needed; behind the bar: nowhere.
  const bool is_short = plan.available_bytes.value && needed > available;
  const std::size_t mark = is_short ? std::min(columns_for(available, all, inner), inner - 1) : inner;

  std::string out = style.utf8 ? "▕" : "[";
  std::size_t at = 0;
  double sum = 0;
  const auto fill = [&](std::size_t end, const char* utf8, char ascii, Colour colour) {
    std::string piece;
    const auto flush = [&] { out += painted(std::exchange(piece, {}), colour, style); };
    for (; at < end; ++at) {
      if (at == mark) {
        if (!piece.empty()) flush();
        out += painted(style.utf8 ? "┃" : "|", Colour::red, style);
      } else if (style.utf8) {
        piece += utf8;
      } else {
        piece += ascii;
      }
    }
    if (!piece.empty()) flush();
  };
  for (const Part& part : parts) {
    sum += static_cast<double>(part.bytes);
    fill(columns_for(sum, all, inner), part.utf8, part.ascii, part.colour);
  }
  fill(inner, "·", '.', Colour::dim);
  return out += style.utf8 ? "▏" : "]";
}

}  // namespace ggufd::ctl
