// The tables of docs/protocol.md: what a message's `fields` list says, as Markdown.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>

#include "protocol/fields.h"

namespace ggufd {

// The type as a reader of JSON would say it.
template <class T>
std::string json_type() {
  if constexpr (detail::is_optional<T>) {
    return json_type<typename T::value_type>() + ", may be absent";
  } else if constexpr (detail::is_nullable<T>) {
    return json_type<typename decltype(T::value)::value_type>() + " or `null`";
  } else if constexpr (detail::is_vector<T>) {
    return "array, each " + json_type<typename T::value_type>();
  } else if constexpr (NamedEnum<T> || std::same_as<T, std::string>) {
    return "string";
  } else if constexpr (std::same_as<T, bool>) {
    return "boolean";
  } else if constexpr (std::integral<T>) {
    return "integer";
  } else if constexpr (std::same_as<T, Timestamp>) {
    return "string, a moment";
  } else {
    static_assert(HasFields<T>, "a type that has no words yet");
    return "object";
  }
}

// "" for a message without fields.
template <HasFields Message>
std::string field_table() {
  std::string rows;
  const Message message{};
  Message::fields(message, [&]<class T>(std::string_view key, const T&, std::string_view doc) {
    rows += fmt::format("| `{}` | {} | {} |\n", key, json_type<T>(), doc);
  });
  return rows.empty() ? rows : "| key | type | |\n|---|---|---|\n" + rows;
}

}  // namespace ggufd
