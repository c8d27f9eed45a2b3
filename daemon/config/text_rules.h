// Checks of single strings, by their kind (config/rule.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/environment.h"
#include "config/rule.h"

namespace ggufd::config {

inline constexpr std::size_t max_model_name_bytes = 64;

// 1 to 64 of A-Za-z0-9._-, not starting with '.'. Such a name is safe as part of a file's name.
bool is_model_name(std::string_view name);

// A sentence without a subject ("must be …") where `value` is not what the rule asks for. What is right is
// left in its normal form: "~/" expanded, digests in lower case.
std::optional<std::string> check_text(const Rule& rule, std::string& value, const Environment& environment);

}  // namespace ggufd::config
