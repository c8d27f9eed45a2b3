// Small JSON files <-> structs with fields() (protocol/fields.h).
#pragma once

#include <fmt/core.h>
#include <simdjson.h>

#include <cstddef>
#include <string>

#include "protocol/error.h"
#include "protocol/field_reader.h"

namespace ggufd::store {

// More than this is none of our files.
inline constexpr std::size_t json_file_max_bytes = std::size_t{1} << 20U;

// The struct that `text`, the content of `path`, holds. Errors: `io`, with what is wrong in it.
template <HasFields T>
Result<T> parse_json_file(const std::string& text, const std::string& path) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (const auto error = parser.parse(text).get(object); error != simdjson::SUCCESS) {
    return fail(ErrorCode::io,
                fmt::format("reading {}: not a JSON object ({})", path, simdjson::error_message(error)));
  }
  T value;
  FieldReader reader(object);
  T::fields(value, reader);
  if (reader.error())
    return fail(ErrorCode::io, fmt::format("reading {}: {}", path, reader.error()->message));
  return value;
}

}  // namespace ggufd::store
