// The findings of `doctor`, for people. Pure.
#pragma once

#include <string>

#include "ctl/terminal.h"
#include "protocol/answer.h"

namespace ggufd::ctl {

// Grouped and aligned, each finding that wants something done with what to do beneath it, then a line that
// sums up.
std::string doctor_report(const answer::Doctor& report, const Terminal& terminal);

}  // namespace ggufd::ctl
