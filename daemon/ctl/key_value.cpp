#include "ctl/key_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <type_traits>

#include "ctl/human.h"
#include "protocol/utf8.h"

namespace ggufd::ctl {
namespace {

using gguf::Value;
using gguf::ValueType;

// An element of a long list of texts.
constexpr std::size_t element_columns = 24;

// f(std::type_identity<T>) with the C++ type of a number or a bool; not called for strings and arrays.
void with_number_type(ValueType type, const auto& f) {
  switch (type) {
    case ValueType::u8:
      return f(std::type_identity<std::uint8_t>());
    case ValueType::i8:
      return f(std::type_identity<std::int8_t>());
    case ValueType::u16:
      return f(std::type_identity<std::uint16_t>());
    case ValueType::i16:
      return f(std::type_identity<std::int16_t>());
    case ValueType::u32:
      return f(std::type_identity<std::uint32_t>());
    case ValueType::i32:
      return f(std::type_identity<std::int32_t>());
    case ValueType::u64:
      return f(std::type_identity<std::uint64_t>());
    case ValueType::i64:
      return f(std::type_identity<std::int64_t>());
    case ValueType::f32:
      return f(std::type_identity<float>());
    case ValueType::f64:
      return f(std::type_identity<double>());
    case ValueType::boolean:
      return f(std::type_identity<bool>());
    case ValueType::string:
    case ValueType::array:
      return;
  }
}

// The number itself, or an array's element.
std::string number_text(const Value& value) {
  std::string text;
  with_number_type(value.type(), [&]<class T>(std::type_identity<T>) {
    if (const auto number = value.as<T>()) text = fmt::format("{}", *number);
  });
  return text;
}

std::string number_text(const Value& array, std::uint64_t index) {
  std::string text;
  with_number_type(array.element_type(), [&]<class T>(std::type_identity<T>) {
    if (const auto number = array.element<T>(index)) text = fmt::format("{}", *number);
  });
  return text;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        out += c;
    }
  }
  return printable(out);
}

// In quotes; a longer text is cut, and its length told where there is room for it.
std::string quoted(std::string_view text, std::size_t columns, bool tells_length, const Style& style) {
  // A column takes four bytes at most, marks without a width apart.
  const std::string_view front = utf8_prefix(text, columns * 8 + 8);
  std::string inner = escaped(front);
  if (front.size() == text.size() && columns_of(inner) + 2 <= columns) return '"' + inner + '"';
  const std::string length = tells_length ? fmt::format(" ({} bytes)", text.size()) : "";
  const std::size_t around = 2 + length.size();
  if (columns < around + 4) return cut('"' + inner + '"', columns, style.ellipsis());
  return fmt::format("\"{}{}\"{}", first_columns(inner, columns - around - 1), style.ellipsis(), length);
}

std::string type_words(const Value& array) {
  const bool is_strings = array.is_array_of(ValueType::string);
  return is_strings ? "strings" : std::string(name_of(array.element_type()));
}

std::string array_text(const Value& array, std::size_t columns, const Style& style) {
  std::string text = fmt::format("[{} {}]", array.count(), type_words(array));
  const auto strings = array.strings();
  auto string = strings.begin();
  for (std::uint64_t i = 0; i < array.count(); ++i) {
    const bool is_string = !strings.empty();
    const std::string element =
        is_string ? quoted(*string++, element_columns, false, style) : number_text(array, i);
    const std::string longer = text + (i == 0 ? " " : ", ") + element;
    const bool is_last = i + 1 == array.count();
    if (columns_of(longer) + (is_last ? 0 : 3) > columns) {
      text += std::string(i == 0 ? " " : ", ") + style.ellipsis();
      break;
    }
    text = longer;
  }
  return cut(text, columns, style.ellipsis());
}

template <class T>
void write_number(JsonWriter& json, T number) {
  if constexpr (std::is_floating_point_v<T>) {
    // The shortest form that reads back as the same number, of a float too.
    if (!std::isfinite(number)) return json.null();
    json.raw(fmt::format("{}", number));
  } else {
    json.value(number);
  }
}

void write_elements(JsonWriter& json, const Value& array, std::uint64_t count) {
  json.begin_array();
  if (array.is_array_of(ValueType::string)) {
    std::uint64_t written = 0;
    for (const std::string_view text : array.strings()) {
      if (written++ == count) break;
      json.value(text);
    }
  } else {
    with_number_type(array.element_type(), [&]<class T>(std::type_identity<T>) {
      for (std::uint64_t i = 0; i < count; ++i) {
        if (const auto number = array.element<T>(i)) write_number(json, *number);
      }
    });
  }
  json.end_array();
}

}  // namespace

std::string value_text(const Value& value, std::size_t columns, const Style& style) {
  if (value.is_array()) return array_text(value, columns, style);
  if (const auto text = value.as<std::string_view>()) return quoted(*text, columns, true, style);
  return cut(number_text(value), columns, style.ellipsis());
}

void write_value(JsonWriter& json, const Value& value) {
  if (value.is_array() && value.count() <= whole_array_elements) {
    return write_elements(json, value, value.count());
  }
  if (value.is_array()) {
    json.begin_object();
    json.key("type");
    json.value(name_of(value.element_type()));
    json.key("count");
    json.value(value.count());
    json.key("first");
    write_elements(json, value, first_elements);
    return json.end_object();
  }
  if (const auto text = value.as<std::string_view>()) return json.value(*text);
  with_number_type(value.type(), [&]<class T>(std::type_identity<T>) {
    if (const auto number = value.as<T>()) write_number(json, *number);
  });
}

}  // namespace ggufd::ctl
