// The little of UTF-8 (RFC 3629) that the wire needs.
#pragma once

#include <cstddef>
#include <string_view>

namespace ggufd {

inline constexpr std::string_view utf8_replacement = "\xEF\xBF\xBD";  // U+FFFD

// Bytes of the well-formed sequence that `text` begins with; 0 where there is none (overlong forms,
// surrogates and code points above U+10FFFF are not well-formed) or where `text` is empty.
std::size_t utf8_sequence_length(std::string_view text);

// The longest prefix of at most `max_bytes` bytes that does not cut a well-formed sequence.
std::string_view utf8_prefix(std::string_view text, std::size_t max_bytes);

}  // namespace ggufd
