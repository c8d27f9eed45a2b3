// Looks at everything that a bring-up will need, before it is needed.
#pragma once

#include <string_view>

#include "doctor/subject.h"
#include "protocol/answer.h"

namespace ggufd::doctor {

// Every check, in groups that follow one another as a bring-up does. Reads, changes nothing, asks no network.
// Blocks for as long as the disk does.
answer::Doctor examine(const Subject& subject);

// Takes the groups of `from` to the end of `report`.
void append(answer::Doctor& report, answer::Doctor from);

}  // namespace ggufd::doctor
