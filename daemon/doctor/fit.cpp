#include "doctor/fit.h"

#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "doctor/text.h"
#include "protocol/fields.h"
#include "protocol/utf8.h"

namespace ggufd::doctor {
namespace {

using Outcome = answer::Check::Outcome;

bool is_quiet(const answer::Check& check) {
  return check.result == Outcome::ok || check.result == Outcome::skip;
}

// Neighbours of one group and one outcome as one line.
void count_quiet(answer::Doctor& report) {
  std::vector<answer::Check> kept;
  std::size_t counted = 0;
  for (answer::Check& check : report.checks) {
    const bool joins = !kept.empty() && is_quiet(check) && kept.back().group == check.group &&
                       kept.back().result == check.result;
    counted = joins ? counted + 1 : 1;
    if (!joins) {
      kept.push_back(std::move(check));
      continue;
    }
    kept.back().name = "others";
    kept.back().found = count_of(counted, "check");
  }
  report.checks = std::move(kept);
}

void cut_sentences(answer::Doctor& report) {
  constexpr std::size_t sentence_bytes_max = 160;
  for (answer::Check& check : report.checks) {
    for (std::string* text : {&check.found, &check.advice}) {
      if (text->size() > sentence_bytes_max)
        *text = std::string(utf8_prefix(*text, sentence_bytes_max)) + "…";
    }
  }
}

void drop_some(answer::Doctor& report, std::size_t max_bytes) {
  std::size_t dropped = 0;
  std::size_t bytes = to_json(report).size();
  constexpr std::size_t summary_bytes = 256;
  for (const Outcome outcome : {Outcome::skip, Outcome::ok, Outcome::warn, Outcome::fail}) {
    for (std::size_t i = report.checks.size(); i-- > 0 && bytes + summary_bytes > max_bytes;) {
      if (report.checks[i].result != outcome) continue;
      bytes -= std::min(bytes, to_json(report.checks[i]).size() + 1);
      report.checks.erase(report.checks.begin() + static_cast<std::ptrdiff_t>(i));
      ++dropped;
    }
  }
  if (dropped == 0) return;
  report.checks.push_back(
      {"doctor", "left out", Outcome::skip,
       fmt::format("{} more: one frame does not hold them all", count_of(dropped, "check")), ""});
}

}  // namespace

answer::Doctor fitted(answer::Doctor report, std::size_t max_bytes) {
  const auto fits = [&] { return to_json(report).size() <= max_bytes; };
  if (!fits()) count_quiet(report);
  if (!fits()) cut_sentences(report);
  if (!fits()) drop_some(report, max_bytes);
  return report;
}

}  // namespace ggufd::doctor
