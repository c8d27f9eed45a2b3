// What no single key can tell: names that must differ, keys that need each other.
#pragma once

#include <vector>

#include "config/config.h"

namespace ggufd::config {

// Appends to `mistakes`, which holds those of the single keys: what depends on a key that has one is left
// out.
void check_across(const Config& config, std::vector<Mistake>& mistakes);

}  // namespace ggufd::config
