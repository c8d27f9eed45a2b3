#include "gguf/value.h"

#include <array>

namespace ggufd::gguf {

std::size_t scalar_bytes(ValueType type) {
  static constexpr std::array<std::size_t, 13> byte_count = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return byte_count.at(static_cast<std::size_t>(type));
}

std::optional<std::string_view> StringArray::at(std::uint64_t index) const {
  if (index >= count_) return std::nullopt;
  Iterator it = begin();
  for (; index > 0; --index) ++it;
  return *it;
}

Value Value::array_of(ValueType element, std::uint64_t count, std::span<const std::byte> payload) {
  Value value(ValueType::array, payload);
  value.element_type_ = element;
  value.count_ = count;
  return value;
}

StringArray Value::strings() const {
  return is_array_of(ValueType::string) ? StringArray(data_, count_) : StringArray();
}

}  // namespace ggufd::gguf
