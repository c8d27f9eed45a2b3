#include "config/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <limits>

#include "config/config.h"
#include "config/object_reader.h"
#include "protocol/fields.h"

namespace ggufd::config {

namespace {

// Large powers of two are easier to read as such.
std::string number_text(std::uint64_t number) {
  constexpr std::uint64_t large = 1U << 16;
  if (number > large && std::has_single_bit(number)) return fmt::format("2^{}", std::countr_zero(number));
  return fmt::format("{}", number);
}

template <class T>
std::string values_text(const Rule& rule) {
  if constexpr (NamedEnum<T>) {
    return fmt::format("`{}`", fmt::join(EnumNames<T>, "`, `"));
  } else if constexpr (std::same_as<T, bool>) {
    return "`true`, `false`";
  } else if constexpr (std::integral<T>) {
    const auto max = std::min<std::uint64_t>(rule.max, std::numeric_limits<T>::max());
    return fmt::format("{} to {}", number_text(rule.min), number_text(max));
  } else if constexpr (ggufd::detail::is_optional<T>) {
    return values_text<typename T::value_type>(rule);
  } else if constexpr (ggufd::detail::is_vector<T>) {
    const std::string element = values_text<typename T::value_type>(rule);
    return rule.one_or_many ? fmt::format("{}, or a list", element) : fmt::format("list, each {}", element);
  } else if constexpr (std::same_as<T, Source>) {
    return "source";
  } else {
    return std::string(name_of(rule.text));
  }
}

template <class T>
std::string default_text(const T& value, const Rule& rule) {
  if (rule.required) return "required";
  if (!rule.default_note.empty()) return std::string(rule.default_note);
  if constexpr (ggufd::detail::is_optional<T>) {
    return "absent";
  } else if constexpr (ggufd::detail::is_vector<T>) {
    return "`[]`";
  } else {
    fmt::memory_buffer json;
    JsonWriter writer(json);
    write_value(writer, value);
    return fmt::format("`{}`", fmt::to_string(json));
  }
}

template <class T>
inline constexpr bool is_list_of_sections = false;
template <Section T>
inline constexpr bool is_list_of_sections<std::vector<T>> = true;

// Rows for the keys of one object; the objects within it follow as tables of their own.
class TablePrinter {
 public:
  explicit TablePrinter(std::string& out) : out_(out) {}

  template <Section T>
  void print(const std::string& path) {
    out_ += fmt::format("### {}\n\n| key | values | default | meaning |\n|---|---|---|---|\n",
                        path.empty() ? "The file" : fmt::format("`{}`", path));
    const T defaults{};
    T::fields(defaults, [&](std::string_view key, const auto& member, std::string_view doc,
                            const Rule& rule = {}) { row(key, member, doc, rule); });
    out_ += "\n";
    T::fields(defaults, [&](std::string_view key, const auto& member, std::string_view, const Rule& = {}) {
      nested(path.empty() ? std::string(key) : fmt::format("{}.{}", path, key), member);
    });
  }

 private:
  template <class T>
  void row(std::string_view key, const T& member, std::string_view doc, const Rule& rule) {
    if constexpr (Section<T>) {
      line(key, "object", "`{}`", doc);
    } else if constexpr (is_list_of_sections<T>) {
      line(key, "list of objects", "`[]`", doc);
    } else {
      line(key, values_text<T>(rule), default_text(member, rule), doc);
    }
  }

  void line(std::string_view key, std::string_view values, std::string_view default_value,
            std::string_view doc) {
    fmt::format_to(std::back_inserter(out_), "| `{}` | {} | {} | {} |\n", key, values, default_value, doc);
  }

  template <class T>
  void nested(const std::string& path, const T&) {
    if constexpr (Section<T>) {
      print<T>(path);
    } else if constexpr (is_list_of_sections<T>) {
      print<typename T::value_type>(path + "[]");
    }
  }

  std::string& out_;
};

}  // namespace

std::string configuration_reference() {
  std::string out;
  TablePrinter(out).print<Config>("");
  return out;
}

}  // namespace ggufd::config
