// Reads the fields of a struct (protocol/fields.h) from a parsed JSON object. Keys that the struct does not
// list are ignored. The first mistake is kept and ends the reading.
#pragma once

#include <fmt/core.h>
#include <simdjson.h>

#include <concepts>
#include <limits>
#include <string>

#include "protocol/error.h"
#include "protocol/fields.h"

namespace ggufd {

class FieldReader {
 public:
  explicit FieldReader(simdjson::dom::object object) : object_(object) {}

  const std::optional<Error>& error() const { return error_; }

  template <class T>
  void operator()(std::string_view key, T& member, std::string_view /*doc*/) {
    if (error_) return;
    simdjson::dom::element element;
    const bool is_absent = object_.at_key(key).get(element) != simdjson::SUCCESS;
    if constexpr (detail::is_optional<T>) {
      member.reset();
      if (is_absent || element.is_null()) return;
      if constexpr (NamedEnum<typename T::value_type>) {
        read_open_enum(key, element, member);
      } else {
        read(key, element, member.emplace());
      }
    } else if (is_absent) {
      error_ = Error{ErrorCode::missing_field, fmt::format("the field \"{}\" is missing", key)};
    } else {
      read(key, element, member);
    }
  }

 private:
  template <class T>
  void read(std::string_view key, simdjson::dom::element element, T& member) {
    if constexpr (NamedEnum<T>) {
      read_enum(key, element, member);
    } else if constexpr (std::same_as<T, bool>) {
      if (element.get(member) != simdjson::SUCCESS) bad(key, "true or false");
    } else if constexpr (std::integral<T>) {
      read_integer(key, element, member);
    } else if constexpr (std::floating_point<T>) {
      if (element.get(member) != simdjson::SUCCESS) bad(key, "a number");
    } else if constexpr (std::same_as<T, Timestamp>) {
      std::string_view text;
      const auto parsed = element.get(text) == simdjson::SUCCESS ? parse_timestamp(text) : std::nullopt;
      if (!parsed) return bad(key, "a moment like \"2026-05-18T00:00:00.000Z\"");
      member = *parsed;
    } else if constexpr (std::same_as<T, RawJson>) {
      member.text = simdjson::minify(element);
    } else if constexpr (detail::is_nullable<T>) {
      member.value.reset();
      if (!element.is_null()) read(key, element, member.value.emplace());
    } else if constexpr (detail::is_vector<T>) {
      read_array(key, element, member);
    } else if constexpr (detail::is_string_map<T>) {
      simdjson::dom::object object;
      if (element.get(object) != simdjson::SUCCESS) return bad(key, "an object");
      member.clear();
      for (const auto entry : object) read(entry.key, entry.value, member[std::string(entry.key)]);
    } else if constexpr (HasFields<T>) {
      simdjson::dom::object object;
      if (element.get(object) != simdjson::SUCCESS) return bad(key, "an object");
      FieldReader reader(object);
      T::fields(member, reader);
      if (reader.error_) error_ = reader.error_;
    } else {
      std::string_view text;
      if (element.get(text) != simdjson::SUCCESS) return bad(key, "a string");
      member = std::string(text);
    }
  }

  template <class T>
  void read_enum(std::string_view key, simdjson::dom::element element, T& member) {
    std::string_view name;
    if (element.get(name) != simdjson::SUCCESS) return bad(key, "a string");
    const auto value = from_name<T>(name);
    if (!value) return bad(key, fmt::format("one of {}", fmt::join(EnumNames<T>, ", ")));
    member = *value;
  }

  // An unknown name leaves `member` empty (protocol/fields.h).
  template <class T>
  void read_open_enum(std::string_view key, simdjson::dom::element element, std::optional<T>& member) {
    std::string_view name;
    if (element.get(name) != simdjson::SUCCESS) return bad(key, "a string");
    member = from_name<T>(name);
  }

  template <std::integral T>
  void read_integer(std::string_view key, simdjson::dom::element element, T& member) {
    using Limits = std::numeric_limits<T>;
    if constexpr (std::unsigned_integral<T>) {
      std::uint64_t number = 0;
      if (element.get(number) != simdjson::SUCCESS || number > Limits::max()) {
        return bad(key, fmt::format("an integer from 0 to {}", Limits::max()));
      }
      member = static_cast<T>(number);
    } else {
      std::int64_t number = 0;
      if (element.get(number) != simdjson::SUCCESS || number > Limits::max() || number < Limits::min()) {
        return bad(key, fmt::format("an integer from {} to {}", Limits::min(), Limits::max()));
      }
      member = static_cast<T>(number);
    }
  }

  template <class T>
  void read_array(std::string_view key, simdjson::dom::element element, std::vector<T>& member) {
    simdjson::dom::array array;
    if (element.get(array) != simdjson::SUCCESS) return bad(key, "an array");
    member.clear();
    for (const auto item : array) {
      read(key, item, member.emplace_back());
      if constexpr (std::same_as<T, std::string>) {
        if (error_) bad(key, "an array of strings");
      }
      if (error_) return;
    }
  }

  void bad(std::string_view key, std::string_view expected) {
    error_ = Error{ErrorCode::bad_field, fmt::format("the field \"{}\" must be {}", key, expected)};
  }

  simdjson::dom::object object_;
  std::optional<Error> error_;
};

}  // namespace ggufd
