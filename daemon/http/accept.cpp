#include "http/accept.h"

#include <algorithm>
#include <array>
#include <tuple>

namespace ggufd::http {
namespace {

constexpr int full_quality = 1000;

struct Wish {
  int precision = -1;  // 0 for */*, 1 for type/*, 2 for type/subtype
  int quality = 0;     // in thousandths
};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equal(std::string_view left, std::string_view right) {
  return std::ranges::equal(left, right, {}, lower, lower);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t";
  const auto begin = std::min(text.find_first_not_of(blank), text.size());
  text.remove_prefix(begin);
  return text.substr(0, text.find_last_not_of(blank) + 1);
}

// What stands before the next `separator`; `rest` goes on behind it.
std::string_view next_part(std::string_view& rest, char separator) {
  const auto end = std::min(rest.find(separator), rest.size());
  const std::string_view part = trimmed(rest.substr(0, end));
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

// "1", "0.5", "0.125": at most three digits behind the point count.
int parse_quality(std::string_view text) {
  if (text.empty() || text.front() < '0' || text.front() > '1') return 0;
  int quality = text.front() == '1' ? full_quality : 0;
  int weight = full_quality / 10;
  for (std::size_t i = 2; i < text.size() && weight > 0; ++i, weight /= 10) {
    if (text[1] != '.' || text[i] < '0' || text[i] > '9') return 0;
    quality += (text[i] - '0') * weight;
  }
  return std::min(quality, full_quality);
}

int precision_of(std::string_view range, std::string_view type) {
  if (equal(range, type)) return 2;
  if (range == "*/*") return 0;
  const auto slash = type.find('/');
  return range.ends_with("/*") && equal(range.substr(0, range.size() - 2), type.substr(0, slash)) ? 1 : -1;
}

// The most precise range that `type` falls into decides.
Wish wish_for(std::string_view type, std::string_view accept) {
  Wish wish;
  while (!accept.empty()) {
    std::string_view parameters = next_part(accept, ',');
    const std::string_view range = next_part(parameters, ';');
    int quality = full_quality;
    while (!parameters.empty()) {
      const std::string_view parameter = next_part(parameters, ';');
      if (parameter.starts_with("q=") || parameter.starts_with("Q=")) {
        quality = parse_quality(parameter.substr(2));
      }
    }
    const int precision = precision_of(range, type);
    if (precision > wish.precision) wish = {precision, quality};
  }
  return wish;
}

}  // namespace

Form form_for(std::optional<std::string_view> accept) {
  if (!accept) return Form::json;
  // The order of Form, which is that of preference.
  constexpr std::array<std::string_view, 3> types{"application/json", "application/msgpack", "text/plain"};
  std::size_t best = 0;
  Wish best_wish;
  for (std::size_t i = 0; i < types.size(); ++i) {
    const Wish wish = wish_for(types[i], *accept);
    if (wish.quality == 0) continue;
    if (std::tie(wish.quality, wish.precision) > std::tie(best_wish.quality, best_wish.precision)) {
      best = i;
      best_wish = wish;
    }
  }
  return static_cast<Form>(best);
}

}  // namespace ggufd::http
