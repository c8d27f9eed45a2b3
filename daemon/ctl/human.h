// Numbers and text as people read them. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ggufd::ctl {

// "512 B", "1.5 KiB", "2.3 GiB": binary units, one decimal.
std::string human_bytes(std::uint64_t bytes);
// "1.2/2.3 GiB": both in the unit of the total.
std::string human_part(std::uint64_t bytes, std::uint64_t total_bytes);
// "0:07", "3:04", "1:02:03", "2 d 3 h"
std::string human_clock(std::uint64_t seconds);
// "850 ms", "12.3 s", then as human_clock
std::string human_ms(std::uint64_t milliseconds);
// "7 s", "5 min", "3 h", "2 d": one unit, rounded down
std::string human_age(std::uint64_t seconds);

// Text that came from outside, fit for a terminal: control characters (and with them every escape sequence),
// line breaks and direction overrides become spaces, bytes that are not UTF-8 become '?'.
std::string printable(std::string_view text);

// How many columns of a terminal UTF-8 text takes: wide East Asian characters and emoji take two, combining
// marks none.
std::size_t columns_of(std::string_view text);
// The longest beginning that takes at most so many columns.
std::string_view first_columns(std::string_view text, std::size_t columns);
// As it is where it fits, else cut, with `ellipsis` (one column) at its end.
std::string cut(std::string_view text, std::size_t columns, std::string_view ellipsis);
// Broken at spaces into lines of at most so many columns, longer words anywhere. At least one line. `columns`
// is at least 2.
std::vector<std::string> wrapped(std::string_view text, std::size_t columns);

}  // namespace ggufd::ctl
