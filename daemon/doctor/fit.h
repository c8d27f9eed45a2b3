// A report that has to fit into one frame.
#pragma once

#include <cstddef>

#include "protocol/answer.h"

namespace ggufd::doctor {

// The report where its JSON has at most `max_bytes`. Else one without detail that matters least: first what is
// ok or skipped becomes a line a group, then long sentences are cut, then findings are counted instead of told,
// warnings before failures. `ok` stays. Pure.
answer::Doctor fitted(answer::Doctor report, std::size_t max_bytes);

}  // namespace ggufd::doctor
