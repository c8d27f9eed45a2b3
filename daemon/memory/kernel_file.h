// The small text files in which the kernel tells of itself (/proc, /sys). Blocks for a moment.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/error.h"

namespace ggufd::memory {

// At most the first 64 KiB. Such files say that their size is 0, whatever is in them.
Result<std::string> read_kernel_file(const std::string& path);

// The decimal number at the beginning, behind blanks.
std::optional<std::uint64_t> leading_number(std::string_view text);

// The number that follows `name` at the beginning of a line.
std::optional<std::uint64_t> number_after(std::string_view text, std::string_view name);

}  // namespace ggufd::memory
