// How a plain struct becomes JSON and back.
//
// A message is a plain struct that lists its fields once:
//
//   struct CheckingLocal {
//     std::string path;
//     static void fields(auto& self, auto&& f) { f("path", self.path, "the file that is looked for"); }
//   };
//
// The same list writes it (FieldWriter, here), reads it (FieldReader, protocol/field_reader.h) and prints its
// table in docs/protocol.md. What a member's type says:
//   std::optional<T>  absent where empty; read, both an absent key and `null` leave it empty
//   Nullable<T>       always there, `null` where unknown
//   anything else     always there, required when read
// A name that an optional enum does not know leaves it empty: it comes from a newer program, whose phases and
// statuses readers pass over. Where the enum is required, such a name is an error.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "protocol/enum_names.h"
#include "protocol/json_writer.h"

namespace ggufd {

template <class T>
struct Nullable {
  std::optional<T> value;
  friend bool operator==(const Nullable&, const Nullable&) = default;
};

// A moment, in milliseconds since 1970-01-01T00:00:00Z. As JSON: "2026-05-18T00:00:00.000Z".
struct Timestamp {
  std::int64_t ms = 0;
  friend bool operator==(const Timestamp&, const Timestamp&) = default;
  friend auto operator<=>(const Timestamp&, const Timestamp&) = default;

  static Timestamp now();
};
// A moment before the year 0000 or after 9999 is written as the first or the last of them.
std::string to_string(Timestamp);
// Exactly the form above; nothing where `text` is not one. A leap second (:60) has no place in the count.
std::optional<Timestamp> parse_timestamp(std::string_view text);

// JSON that is passed on as it is, an object or an array.
struct RawJson {
  std::string text;
  friend bool operator==(const RawJson&, const RawJson&) = default;
};

namespace detail {
struct AnyVisitor {
  void operator()(std::string_view, auto&, std::string_view) const {}
};
}  // namespace detail

template <class T>
concept HasFields = requires(T& message) { std::remove_const_t<T>::fields(message, detail::AnyVisitor{}); };

template <class T>
void write_value(JsonWriter& json, const T& value);

// Writes each field of a struct into an object that is open.
class FieldWriter {
 public:
  explicit FieldWriter(JsonWriter& json) : json_(json) {}

  template <class T>
  void operator()(std::string_view key, const T& value, std::string_view /*doc*/) {
    json_.key(key);
    write_value(json_, value);
  }
  template <class T>
  void operator()(std::string_view key, const std::optional<T>& value, std::string_view doc) {
    if (value) (*this)(key, *value, doc);
  }

 private:
  JsonWriter& json_;
};

namespace detail {
template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;
template <class T>
inline constexpr bool is_string_map = false;
template <class T>
inline constexpr bool is_string_map<std::map<std::string, T>> = true;
template <class T>
inline constexpr bool is_nullable = false;
template <class T>
inline constexpr bool is_nullable<Nullable<T>> = true;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
}  // namespace detail

template <class T>
void write_value(JsonWriter& json, const T& value) {
  if constexpr (NamedEnum<T>) {
    json.value(name_of(value));
  } else if constexpr (std::is_same_v<T, Timestamp>) {
    json.value(std::string_view(to_string(value)));
  } else if constexpr (std::is_same_v<T, RawJson>) {
    json.raw(value.text);
  } else if constexpr (detail::is_nullable<T>) {
    if (value.value) {
      write_value(json, *value.value);
    } else {
      json.null();
    }
  } else if constexpr (detail::is_vector<T>) {
    json.begin_array();
    for (const auto& element : value) write_value(json, element);
    json.end_array();
  } else if constexpr (detail::is_string_map<T>) {
    json.begin_object();
    for (const auto& [key, element] : value) {
      json.key(key);
      write_value(json, element);
    }
    json.end_object();
  } else if constexpr (HasFields<T>) {
    json.begin_object();
    T::fields(value, FieldWriter(json));
    json.end_object();
  } else if constexpr (std::is_convertible_v<T, std::string_view>) {
    json.value(std::string_view(value));
  } else {
    json.value(value);
  }
}

// One message as a JSON text.
template <HasFields T>
std::string to_json(const T& message) {
  fmt::memory_buffer out;
  JsonWriter json(out);
  write_value(json, message);
  return fmt::to_string(out);
}

}  // namespace ggufd
