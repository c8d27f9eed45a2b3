// Values of a GGUF's keys, as typed views into the file's bytes: nothing is copied, whoever made the bytes
// keeps them alive. Value types and their ids are those of ggml's docs/gguf.md.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>

#include "protocol/enum_names.h"

namespace ggufd::gguf {

static_assert(std::endian::native == std::endian::little, "GGUF's numbers are read as they lie in memory");

// In the order of their ids in a file.
enum class ValueType : std::uint8_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};

// Bytes of one number (bool: 1); 0 for strings and arrays, which have no fixed size.
std::size_t scalar_bytes(ValueType type);

template <class T>
inline constexpr std::optional<ValueType> value_type_of = std::nullopt;
template <>
inline constexpr std::optional<ValueType> value_type_of<std::uint8_t> = ValueType::u8;
template <>
inline constexpr std::optional<ValueType> value_type_of<std::int8_t> = ValueType::i8;
template <>
inline constexpr std::optional<ValueType> value_type_of<std::uint16_t> = ValueType::u16;
template <>
inline constexpr std::optional<ValueType> value_type_of<std::int16_t> = ValueType::i16;
template <>
inline constexpr std::optional<ValueType> value_type_of<std::uint32_t> = ValueType::u32;
template <>
inline constexpr std::optional<ValueType> value_type_of<std::int32_t> = ValueType::i32;
template <>
inline constexpr std::optional<ValueType> value_type_of<float> = ValueType::f32;
template <>
inline constexpr std::optional<ValueType> value_type_of<bool> = ValueType::boolean;
template <>
inline constexpr std::optional<ValueType> value_type_of<std::string_view> = ValueType::string;
template <>
inline constexpr std::optional<ValueType> value_type_of<std::uint64_t> = ValueType::u64;
template <>
inline constexpr std::optional<ValueType> value_type_of<std::int64_t> = ValueType::i64;
template <>
inline constexpr std::optional<ValueType> value_type_of<double> = ValueType::f64;

// A C++ type that one value type is read as.
template <class T>
concept GgufValue = value_type_of<T>.has_value();

// The strings of an array, one after the other; each step reads one length. The payload was checked when the
// file was read: every length lies within it.
class StringArray {
 public:
  class Iterator {
   public:
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;

    Iterator() = default;
    Iterator(const std::byte* at, std::uint64_t left) : at_(at), left_(left) {}

    std::string_view operator*() const {
      return {reinterpret_cast<const char*>(at_) + sizeof(std::uint64_t), static_cast<std::size_t>(length())};
    }
    Iterator& operator++() {
      at_ += sizeof(std::uint64_t) + length();
      --left_;
      return *this;
    }
    Iterator operator++(int) {
      Iterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.left_ == b.left_; }

   private:
    std::uint64_t length() const {
      std::uint64_t bytes = 0;
      std::memcpy(&bytes, at_, sizeof bytes);
      return bytes;
    }

    const std::byte* at_ = nullptr;
    std::uint64_t left_ = 0;
  };

  StringArray() = default;
  StringArray(std::span<const std::byte> payload, std::uint64_t count) : payload_(payload), count_(count) {}

  std::uint64_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  Iterator begin() const { return {payload_.data(), count_}; }
  Iterator end() const { return {}; }

  // Walks to `index`; nothing where the array has no such element.
  std::optional<std::string_view> at(std::uint64_t index) const;

 private:
  std::span<const std::byte> payload_;
  std::uint64_t count_ = 0;
};

class Value {
 public:
  Value() = default;
  // A number or a string: `data` is its bytes.
  Value(ValueType type, std::span<const std::byte> data) : type_(type), data_(data) {}

  // An array whose payload, lengths of strings included, was checked.
  static Value array_of(ValueType element, std::uint64_t count, std::span<const std::byte> payload);

  ValueType type() const { return type_; }
  bool is_array() const { return type_ == ValueType::array; }
  bool is_array_of(ValueType element) const { return is_array() && element_type_ == element; }
  ValueType element_type() const { return element_type_; }  // of an array
  std::uint64_t count() const { return count_; }            // of an array, else 0

  // The value, where it has exactly that type.
  template <GgufValue T>
  std::optional<T> as() const {
    if (type_ != value_type_of<T>) return std::nullopt;
    if constexpr (std::same_as<T, std::string_view>) {
      return std::string_view(reinterpret_cast<const char*>(data_.data()), data_.size());
    } else {
      return load<T>(0);
    }
  }

  // An array's element, where it exists and has exactly that type. Strings: use strings().
  template <GgufValue T>
    requires(!std::same_as<T, std::string_view>)
  std::optional<T> element(std::uint64_t index) const {
    if (!is_array() || element_type_ != value_type_of<T> || index >= count_) return std::nullopt;
    return load<T>(static_cast<std::size_t>(index) * sizeof(T));
  }

  // Empty unless the value is an array of strings.
  StringArray strings() const;

 private:
  template <class T>
  T load(std::size_t at) const {
    if constexpr (std::same_as<T, bool>) {
      return data_[at] != std::byte{0};
    } else {
      T value;
      std::memcpy(&value, data_.data() + at, sizeof value);
      return value;
    }
  }

  ValueType type_ = ValueType::u8;
  ValueType element_type_ = ValueType::u8;
  std::uint64_t count_ = 0;
  std::span<const std::byte> data_;
};

}  // namespace ggufd::gguf

template <>
inline constexpr auto ggufd::EnumNames<ggufd::gguf::ValueType> = std::to_array<std::string_view>({
    "u8",
    "i8",
    "u16",
    "i16",
    "u32",
    "i32",
    "f32",
    "bool",
    "string",
    "array",
    "u64",
    "i64",
    "f64",
});
