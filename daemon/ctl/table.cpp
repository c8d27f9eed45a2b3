#include "ctl/table.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "ctl/human.h"

namespace ggufd::ctl {
namespace {

constexpr std::size_t gap_columns = 2;

std::size_t widest(const Column& title, std::size_t index, const std::vector<std::vector<Cell>>& rows) {
  std::size_t width = columns_of(title.title);
  for (const auto& row : rows) width = std::max(width, columns_of(row[index].text));
  return width;
}

std::size_t total_width(const std::vector<std::size_t>& shown, const std::vector<std::size_t>& widths) {
  return std::accumulate(shown.begin(), shown.end(), (shown.size() - 1) * gap_columns,
                         [&](std::size_t sum, std::size_t i) { return sum + widths[i]; });
}

// Takes the least important column out; false where all that are left stay.
bool drop_one(std::vector<std::size_t>& shown, const std::vector<Column>& titles) {
  const auto rank = [&](std::size_t i) {
    return titles[i].importance == 0 ? std::numeric_limits<int>::max() : titles[i].importance;
  };
  const auto least =
      std::min_element(shown.begin(), shown.end(), [&](auto a, auto b) { return rank(a) < rank(b); });
  if (titles[*least].importance == 0) return false;
  shown.erase(least);
  return true;
}

}  // namespace

std::string table(const std::vector<Column>& titles, const std::vector<std::vector<Cell>>& rows,
                  std::size_t columns, const Style& style) {
  if (columns == 0) columns = std::numeric_limits<std::size_t>::max();
  std::vector<std::size_t> widths;
  widths.reserve(titles.size());
  for (std::size_t i = 0; i < titles.size(); ++i) widths.push_back(widest(titles[i], i, rows));
  std::vector<std::size_t> shown(titles.size());
  std::iota(shown.begin(), shown.end(), std::size_t{0});
  while (total_width(shown, widths) > columns && drop_one(shown, titles)) {
  }
  // What stays and still does not fit: the first column, a name, gives way.
  if (const std::size_t total = total_width(shown, widths); total > columns) {
    widths[shown[0]] -=
        std::min(widths[shown[0]] - std::min<std::size_t>(widths[shown[0]], 6), total - columns);
  }

  std::string out;
  const auto add_row = [&](const std::vector<Cell>& cells) {
    std::string line;
    std::size_t left = columns;
    for (const std::size_t i : shown) {
      const std::string text = cut(cells[i].text, std::min(widths[i], left), style.ellipsis());
      const std::size_t padding = std::min(widths[i], left) - columns_of(text);
      if (titles[i].is_number) line.append(padding, ' ');
      line += painted(text, cells[i].colour, style);
      if (i == shown.back()) break;
      if (!titles[i].is_number) line.append(padding, ' ');
      left -= std::min(left, widths[i]);
      line.append(std::min(left, gap_columns), ' ');
      left -= std::min(left, gap_columns);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out.append(line).push_back('\n');
  };
  std::vector<Cell> heads;
  heads.reserve(titles.size());
  for (const Column& title : titles) heads.push_back({title.title, Colour::dim});
  add_row(heads);
  for (const auto& row : rows) add_row(row);
  return out;
}

}  // namespace ggufd::ctl
