// What rm and gc say before and after, and the question whether to go on.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "ctl/context.h"
#include "store/removal.h"

namespace ggufd::ctl {

// What became of a plan's items; filled while they go.
struct RemovalOutcome {
  std::vector<bool> removed;        // one a planned item
  std::vector<std::string> errors;  // one a planned item, empty where there was none
  explicit RemovalOutcome(std::size_t items) : removed(items, false), errors(items) {}
};

// The plan as a table with its sum, and what stays. Pure.
std::string removal_text(const store::RemovalPlan& plan, const Terminal& terminal);

// The document of `rm --json` and `gc --json`. `error`: why not all of it is gone; empty where it is. Pure.
std::string removal_json(const store::RemovalPlan& plan, const RemovalOutcome& outcome, bool is_dry_run,
                         const std::string& error = "");

// "removed 3 of 4, 2.3 GiB"; pure.
std::string outcome_text(const store::RemovalPlan& plan, const RemovalOutcome& outcome);

// Whether to go on. Asks where standard input and output are terminals; elsewhere nobody could answer, and
// the command itself is the answer. With --json the plan is told with the question, on the error output:
// otherwise it was told before.
bool is_confirmed(Context& context, const store::RemovalPlan& plan);

}  // namespace ggufd::ctl
