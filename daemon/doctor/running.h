// The checks of a daemon that runs.
#pragma once

#include "protocol/answer.h"

namespace ggufd::doctor {

// "daemon": each model's health. Pure.
void judge_models(const answer::Status& status, answer::Doctor& report);

}  // namespace ggufd::doctor
