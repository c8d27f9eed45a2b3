// Text from a file as part of a sentence.
#pragma once

#include <string>
#include <string_view>

namespace ggufd::config {

// In quotation marks, at most 80 bytes of it, control characters as \xNN: it can neither end a line nor fill
// a screen.
std::string quote(std::string_view text);

// Control characters as \xNN, the rest as it is.
std::string escape_controls(std::string_view text);

// Whether a byte is a control character (below space, or DEL).
bool has_control_character(std::string_view text);

}  // namespace ggufd::config
