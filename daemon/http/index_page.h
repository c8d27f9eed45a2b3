// The status page at `/`: one HTML file, which asks this daemon for everything else.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "http/answer.h"

namespace ggufd::http {

// 304 without a body where `if_none_match`, a header field, names the page that this program has.
Page index_page(std::optional<std::string_view> if_none_match);

// Base64 (RFC 4648, section 4) of the bytes that `hex` spells.
std::string base64_of_hex(std::string_view hex);

}  // namespace ggufd::http
