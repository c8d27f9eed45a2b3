// A GGUF key's value as `inspect` shows it. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "ctl/terminal.h"
#include "gguf/value.h"
#include "protocol/json_writer.h"

namespace ggufd::ctl {

// Arrays of up to so many elements are written whole as JSON, longer ones as
// {"type","count","first":[…]} with the first few.
inline constexpr std::uint64_t whole_array_elements = 64;
inline constexpr std::uint64_t first_elements = 8;

// At most `columns` columns: 42, true, "text", "the begin of a long te…" (4116 bytes),
// [151936 strings] "!", "\"", …
std::string value_text(const gguf::Value& value, std::size_t columns, const Style& style);

// Numbers and bools as such (NaN and infinities as null), strings with U+FFFD for what is not UTF-8.
void write_value(JsonWriter& json, const gguf::Value& value);

}  // namespace ggufd::ctl
