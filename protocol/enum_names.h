// Names of enumerators, as they stand on the wire and in files.
//
// An enum takes part by specialising EnumNames with its names in the order of its enumerators, which count
// from 0:
//   template <> inline constexpr auto EnumNames<Colour> = std::to_array<std::string_view>({"red", "green"});
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <type_traits>

namespace ggufd {

template <class E>
inline constexpr auto EnumNames = nullptr;

template <class E>
concept NamedEnum = std::is_enum_v<E> && requires { EnumNames<E>.size(); };

template <NamedEnum E>
constexpr std::string_view name_of(E value) {
  return EnumNames<E>[static_cast<std::size_t>(value)];
}

// Nothing where no enumerator has that name.
template <NamedEnum E>
constexpr std::optional<E> from_name(std::string_view name) {
  for (std::size_t i = 0; i < EnumNames<E>.size(); ++i) {
    if (EnumNames<E>[i] == name) return static_cast<E>(i);
  }
  return std::nullopt;
}

}  // namespace ggufd
