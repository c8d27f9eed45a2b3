#include "config/suggest.h"

#include <algorithm>
#include <string>
#include <vector>

namespace ggufd::config {

namespace {

std::string folded(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '-') c = '_';
  }
  return result;
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> two_back(b.size() + 1);
  std::vector<std::size_t> back(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) back[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = back[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({back[j] + 1, row[j - 1] + 1, replaced});
      const bool is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (is_swap) row[j] = std::min(row[j], two_back[j - 2] + 1);
    }
    two_back.swap(back);
    back.swap(row);
  }
  return back[b.size()];
}

std::optional<std::string_view> nearest(std::string_view text, std::span<const std::string_view> words) {
  constexpr std::size_t longest =
      64;  // no word is that long, and the distance costs the product of both lengths
  if (text.size() > longest) return std::nullopt;
  const std::string folded_text = folded(text);
  std::optional<std::string_view> best;
  std::size_t least = 0;
  for (const std::string_view word : words) {
    const std::size_t distance = edit_distance(folded_text, folded(word));
    if (distance > (std::max(text.size(), word.size()) + 2) / 3) continue;
    if (best && distance >= least) continue;
    best = word;
    least = distance;
  }
  return best;
}

}  // namespace ggufd::config
