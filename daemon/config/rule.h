// What a configuration key accepts, beyond what its member's type says. Each struct of config/config.h hands
// one Rule a key to its visitor; reading, checking and the table in docs/configuration.md all take it from
// there.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "protocol/enum_names.h"

namespace ggufd::config {

// What a string is, and so how it is checked (config/text_rules.h).
enum class TextKind : std::uint8_t {
  any,
  model_name,
  folder,
  file,
  program,
  https_url,
  proxy_url,
  listen_address,
  sha256,
  llama_argument,
};

struct Rule {
  // Integers: both ends belong to the range.
  std::uint64_t min = 0;
  std::uint64_t max = 0xFFFF'FFFF'FFFF'FFFF;
  // Strings, and the elements of lists of strings.
  TextKind text = TextKind::any;
  // "" is a value of its own (its meaning is in the key's description).
  bool may_be_empty = false;
  // The object is a mistake without this key.
  bool required = false;
  // One value may stand for a list of one; a list then has at least one element.
  bool one_or_many = false;
  // What the reference prints as the default where the member's initial value does not say it.
  std::string_view default_note = {};
};

}  // namespace ggufd::config

namespace ggufd {

// How the reference calls each kind.
template <>
inline constexpr auto EnumNames<config::TextKind> =
    std::to_array<std::string_view>({"string", "name", "folder", "file", "program", "URL", "proxy URL",
                                     "host:port", "64 hex digits", "argument"});

}  // namespace ggufd
