// Which form of a document a client wants, as its `Accept` says (RFC 9110, section 12.5.1).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ggufd::http {

enum class Form : std::uint8_t { json, msgpack, text };

// The form with the highest quality; among equals the one that is named more precisely, then JSON. JSON, too,
// where nothing is asked for, where it cannot be read, and where none of the three would do.
Form form_for(std::optional<std::string_view> accept);

}  // namespace ggufd::http
