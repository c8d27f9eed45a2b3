// Reads the structs of config/config.h from parsed JSON, by their fields(), and lists every mistake on the
// way. What has a mistake keeps its default or holds what the file says; a configuration with mistakes is
// never used.
#pragma once

#include <fmt/format.h>
#include <simdjson.h>

#include <concepts>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "config/config.h"
#include "config/rule.h"
#include "config/suggest.h"
#include "config/text_rules.h"
#include "protocol/enum_names.h"
#include "protocol/fields.h"

namespace ggufd::config {

struct AnyKeyVisitor {
  void operator()(std::string_view, auto&, std::string_view, const Rule& = {}) const {}
};

template <class T>
concept Section = requires(T& section) { std::remove_const_t<T>::fields(section, AnyKeyVisitor{}); };

// `pointer` and a reference token, escaped (RFC 6901).
std::string child_pointer(std::string_view pointer, std::string_view key);
std::string child_pointer(std::string_view pointer, std::size_t index);

// What stands there, for "must be …, not …".
std::string describe_found(simdjson::dom::element element);

class ObjectReader {
 public:
  // Both must outlive the reader.
  ObjectReader(const Environment& environment, std::vector<Mistake>& mistakes)
      : environment_(environment), mistakes_(mistakes) {}

  template <Section T>
  void read_section(simdjson::dom::element element, const std::string& pointer, T& section) {
    simdjson::dom::object object;
    if (element.get(object) != simdjson::SUCCESS) return must_be(pointer, "an object", element);
    std::unordered_set<std::string_view> seen;
    for (const auto entry : object) {
      const std::string entry_pointer = child_pointer(pointer, entry.key);
      if (!seen.insert(entry.key).second) {
        mistake(entry_pointer, "stands twice in this object; keep one of them");
        continue;
      }
      read_entry(entry.key, entry.value, entry_pointer, section);
    }
    T::fields(section, [&](std::string_view key, auto&, std::string_view, const Rule& rule = {}) {
      if (rule.required && !seen.contains(key)) {
        mistake(child_pointer(pointer, key), fmt::format("the key \"{}\" is missing", key));
      }
    });
  }

 private:
  template <Section T>
  void read_entry(std::string_view key, simdjson::dom::element value, const std::string& pointer,
                  T& section) {
    bool is_known = false;
    T::fields(section, [&](std::string_view known, auto& member, std::string_view, const Rule& rule = {}) {
      if (known != key) return;
      is_known = true;
      read(value, pointer, member, rule);
    });
    if (is_known) return;
    std::vector<std::string_view> known_keys;
    T::fields(section, [&](std::string_view known, auto&, std::string_view, const Rule& = {}) {
      known_keys.push_back(known);
    });
    unknown_key(pointer, key, known_keys);
  }

  template <class T>
  void read(simdjson::dom::element element, const std::string& pointer, T& member, const Rule& rule) {
    if constexpr (Section<T>) {
      read_section(element, pointer, member);
    } else if constexpr (NamedEnum<T>) {
      read_enum(element, pointer, member);
    } else if constexpr (std::same_as<T, bool>) {
      if (element.get(member) != simdjson::SUCCESS) must_be(pointer, "true or false", element);
    } else if constexpr (std::integral<T>) {
      read_integer(element, pointer, member, rule);
    } else if constexpr (ggufd::detail::is_optional<T>) {
      if (!element.is_null()) read(element, pointer, member.emplace(), rule);
    } else if constexpr (ggufd::detail::is_vector<T>) {
      read_list(element, pointer, member, rule);
    } else if constexpr (std::same_as<T, Source>) {
      read_source(element, pointer, member);
    } else {
      static_assert(std::same_as<T, std::string>);
      read_string(element, pointer, member, rule);
    }
  }

  template <NamedEnum T>
  void read_enum(simdjson::dom::element element, const std::string& pointer, T& member) {
    std::string_view name;
    const auto value = element.get(name) == simdjson::SUCCESS ? from_name<T>(name) : std::nullopt;
    if (!value) return must_be(pointer, fmt::format("one of {}", fmt::join(EnumNames<T>, ", ")), element);
    member = *value;
  }

  template <std::integral T>
  void read_integer(simdjson::dom::element element, const std::string& pointer, T& member, const Rule& rule) {
    static_assert(std::unsigned_integral<T>);
    const std::uint64_t max = std::min<std::uint64_t>(rule.max, std::numeric_limits<T>::max());
    std::uint64_t number = 0;
    const bool is_right = element.get(number) == simdjson::SUCCESS && number >= rule.min && number <= max;
    if (!is_right) return must_be(pointer, fmt::format("an integer from {} to {}", rule.min, max), element);
    member = static_cast<T>(number);
  }

  template <class T>
  void read_list(simdjson::dom::element element, const std::string& pointer, std::vector<T>& member,
                 const Rule& rule) {
    member.clear();
    simdjson::dom::array array;
    if (element.get(array) != simdjson::SUCCESS) {
      if (rule.one_or_many && element.is_string()) return read(element, pointer, member.emplace_back(), rule);
      return must_be(pointer, rule.one_or_many ? "a string or a list of strings" : "a list", element);
    }
    if (rule.one_or_many && array.begin() == array.end())
      return mistake(pointer, "must not be an empty list");
    std::size_t index = 0;
    for (const auto item : array) {
      T value{};
      read(item, child_pointer(pointer, index), value, rule);
      member.push_back(std::move(value));
      ++index;
    }
  }

  void read_string(simdjson::dom::element element, const std::string& pointer, std::string& member,
                   const Rule& rule);
  void read_source(simdjson::dom::element element, const std::string& pointer, Source& member);
  void unknown_key(const std::string& pointer, std::string_view key,
                   const std::vector<std::string_view>& known);
  void must_be(const std::string& pointer, std::string_view wanted, simdjson::dom::element found);
  void mistake(std::string pointer, std::string message);

  const Environment& environment_;
  std::vector<Mistake>& mistakes_;
};

}  // namespace ggufd::config
