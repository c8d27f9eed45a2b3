// What is wrong with a file: every finding, not only the first.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/enum_names.h"
#include "protocol/error.h"

namespace ggufd::gguf {

// Their names are stable: programs read them from `ggufctl inspect --json`.
enum class DefectCode : std::uint8_t {
  // The file as a whole.
  bad_magic,
  unsupported_version,
  big_endian,
  truncated,           // the file ends inside a field
  count_beyond_file,   // more keys, tensors or elements than the file's bytes can hold
  length_beyond_file,  // a string longer than what is left of the file
  string_too_long,     // over 1 GiB
  array_too_long,      // over 2^30 elements
  // Keys.
  empty_key,
  bad_key_name,
  duplicate_key,
  unknown_value_type,
  nested_array,
  bad_bool,
  bad_alignment,
  // Tensors.
  bad_tensor_name,
  duplicate_tensor,
  bad_dimension_count,
  bad_dimension,
  partial_block,
  tensor_too_large,
  unknown_tensor_type,
  removed_tensor_type,
  bad_tensor_offset,
  tensor_outside_file,
  data_size_overflow,
  // What the keys mean.
  missing_key,
  wrong_type,
  wrong_length,
  bad_value,
  limit_exceeded,
  token_out_of_range,
  bad_split,
};

struct Defect {
  DefectCode code = DefectCode::truncated;
  std::string where;         // the key, the tensor, or "header"; printable
  std::uint64_t offset = 0;  // bytes from the start of the file; 0 where the finding has no place
  std::string message;

  friend bool operator==(const Defect&, const Defect&) = default;
};

// Text out of a file, fit to be shown: bytes that are not printable ASCII as \xNN, long text cut.
std::string printable(std::string_view text);

// The first findings of a file; beyond the limit they are only counted, so that a hostile file costs no
// memory.
class Defects {
 public:
  static constexpr std::size_t limit = 64;

  template <class... Args>
  void add(DefectCode code, std::string_view where, std::uint64_t offset, fmt::format_string<Args...> text,
           Args&&... args) {
    ++found_;
    if (list_.size() == limit) return;
    list_.push_back({code, printable(where), offset, fmt::format(text, std::forward<Args>(args)...)});
  }

  const std::vector<Defect>& list() const { return list_; }
  std::uint64_t found() const { return found_; }  // with those beyond the limit
  bool empty() const { return found_ == 0; }
  bool full() const { return list_.size() == limit; }

 private:
  std::vector<Defect> list_;
  std::uint64_t found_ = 0;
};

// The file is sound in itself, but of a kind that no engine here reads.
bool is_unsupported(DefectCode code);

// unsupported_gguf where that is all that is wrong, else invalid_gguf, with the first findings in the
// sentence. There must be one.
Error to_error(const Defects& defects);

}  // namespace ggufd::gguf

template <>
inline constexpr auto ggufd::EnumNames<ggufd::gguf::DefectCode> = std::to_array<std::string_view>({
    "bad_magic",           "unsupported_version",
    "big_endian",          "truncated",
    "count_beyond_file",   "length_beyond_file",
    "string_too_long",     "array_too_long",
    "empty_key",           "bad_key_name",
    "duplicate_key",       "unknown_value_type",
    "nested_array",        "bad_bool",
    "bad_alignment",       "bad_tensor_name",
    "duplicate_tensor",    "bad_dimension_count",
    "bad_dimension",       "partial_block",
    "tensor_too_large",    "unknown_tensor_type",
    "removed_tensor_type", "bad_tensor_offset",
    "tensor_outside_file", "data_size_overflow",
    "missing_key",         "wrong_type",
    "wrong_length",        "bad_value",
    "limit_exceeded",      "token_out_of_range",
    "bad_split",
});
