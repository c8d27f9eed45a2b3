// The storage types of tensors: their ids in a file, their names, and how many bytes a block of elements
// takes. Numbers from ggml's type table (ggml.h and ggml.c of 2026-08).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ggufd::gguf {

struct TensorType {
  std::uint32_t id;
  std::string_view name;
  std::uint32_t block_elements;  // a row is a whole number of blocks
  std::uint32_t block_bytes;
};

// Null where no current type has that id or name. What is returned lives as long as the program.
const TensorType* tensor_type(std::uint32_t id);
const TensorType* tensor_type(std::string_view name);

// The name of a type that existed once and that no engine reads any more; nothing for every other id.
std::optional<std::string_view> removed_tensor_type(std::uint32_t id);

// A type that K and V may be kept in (f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0, q5_1); null for any
// other name.
const TensorType* cache_type(std::string_view name);

// Bytes of a row of `elements`; nothing where they are no whole number of blocks or the product leaves 64
// bits.
std::optional<std::uint64_t> row_bytes(const TensorType& type, std::uint64_t elements);

}  // namespace ggufd::gguf
