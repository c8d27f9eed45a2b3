// What `plan` says of a model's memory, for programs and for people. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "ctl/terminal.h"
#include "protocol/answer.h"

namespace ggufd::ctl {

struct PlanReport {
  std::string title;                  // the model, as it was asked for
  answer::Plan plan;                  // what was asked about
  std::vector<answer::Plan> others;   // the same with other context lengths
  std::vector<answer::Plan> smaller;  // the first with cache types that take less, as far as it can have them
};

// `document` is the plan's own, one line without its end; `others` are added to it where there are any.
std::string plan_json(std::string document, const std::vector<answer::Plan>& others);

// A table with a column for each plan, a bar of the first one against what is available, the limits, the
// verdict.
std::string plan_text(const PlanReport& report, const Terminal& terminal);

// Weights, KV cache, compute and what is left as the parts of a bar of at most so many columns (at least 10),
// its ends included. A plan that is larger than what is available is drawn in full, with a mark where memory
// ends.
std::string plan_bar(const answer::Plan& plan, std::size_t columns, const Style& style);

}  // namespace ggufd::ctl
