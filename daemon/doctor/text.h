// Words that several checks use. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/fields.h"

namespace ggufd::doctor {

// "1 model", "3 models"
std::string count_of(std::size_t number, std::string_view noun);
// "5 minutes ago", "3 days ago"; "just now" below a minute, and for what lies ahead.
std::string ago(Timestamp then, Timestamp now);

}  // namespace ggufd::doctor
