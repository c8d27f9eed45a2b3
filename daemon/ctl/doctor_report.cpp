#include "ctl/doctor_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "ctl/human.h"
#include "ctl/page.h"

namespace ggufd::ctl {
namespace {

using Outcome = answer::Check::Outcome;

Colour colour_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::ok:
      return Colour::green;
    case Outcome::warn:
      return Colour::yellow;
    case Outcome::fail:
      return Colour::red;
    case Outcome::skip:
      break;
  }
  return Colour::dim;
}

constexpr std::size_t word_columns = 4;  // of the longest outcome
constexpr std::size_t gap = 2;
// A longer name pushes what was found to the right instead of everybody's.
constexpr std::size_t longest_name = 24;
// Narrower than this, what was found stands beneath its name.
constexpr std::size_t narrow_columns = 50;

std::size_t name_columns(const answer::Doctor& report) {
  std::size_t columns = 0;
  for (const answer::Check& check : report.checks)
    columns = std::max(columns, std::min(columns_of(printable(check.name)), longest_name));
  return columns;
}

void add_check(Page& page, const answer::Check& check, std::size_t names) {
  const Style& style = page.style();
  const std::string name = printable(check.name);
  const std::string word = fmt::format("{:<{}}", name_of(check.result), word_columns);
  const std::size_t indent = page.columns() < narrow_columns ? 2 : gap + word_columns + gap + names + gap;
  std::string head = painted(word, colour_of(check.result), style) + "  " + name;
  const std::size_t room = std::max<std::size_t>(page.columns() - std::min(page.columns(), indent), 2);
  auto lines = wrapped(printable(check.found), room);
  const std::size_t head_columns = gap + word_columns + gap + columns_of(name);
  if (page.columns() >= narrow_columns && head_columns + gap <= indent) {
    head += std::string(indent - head_columns, ' ') + lines.front();
    lines.erase(lines.begin());
  }
  page.painted_line(gap, head);
  for (const std::string& line : lines) page.painted_line(indent, line);
  if (!check.advice.empty()) {
    const std::string advice = fmt::format("{} {}", style.utf8 ? "→" : "->", printable(check.advice));
    page.wrapped(indent, advice, Colour::bold);
  }
}

std::string summary(const answer::Doctor& report) {
  std::array<std::size_t, 4> counts{};
  for (const answer::Check& check : report.checks) ++counts.at(static_cast<std::size_t>(check.result));
  const auto of = [&](Outcome outcome) { return counts.at(static_cast<std::size_t>(outcome)); };
  return fmt::format("{} ok, {} to look at, {} failed, {} skipped", of(Outcome::ok), of(Outcome::warn),
                     of(Outcome::fail), of(Outcome::skip));
}

}  // namespace

std::string doctor_report(const answer::Doctor& report, const Terminal& terminal) {
  Page page(terminal);
  const std::size_t names = name_columns(report);
  const std::string* group = nullptr;
  for (const answer::Check& check : report.checks) {
    if (group == nullptr || *group != check.group) {
      if (group != nullptr) page.blank();
      page.line(0, printable(check.group), Colour::bold);
    }
    group = &check.group;
    add_check(page, check, names);
  }
  page.blank();
  page.line(0, summary(report), report.ok ? Colour::green : Colour::red);
  return page.text();
}

}  // namespace ggufd::ctl
