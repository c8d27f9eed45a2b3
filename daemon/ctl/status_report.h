// What `ggufctl status` prints, from the daemon's answer. Pure functions.
#pragma once

#include <string>

#include "ctl/terminal.h"
#include "protocol/answer.h"
#include "protocol/health_report.h"

namespace ggufd::ctl {

// The table, and under it what is to be said of models that are not well. With `in_detail` also digests and
// the last words of the engines.
std::string status_report(const answer::Status& status, bool in_detail, Timestamp now,
                          const Terminal& terminal);

}  // namespace ggufd::ctl
