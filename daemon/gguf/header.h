// The header of a GGUF: its keys and its table of tensors, as views into the bytes that were read. Whoever
// made the bytes keeps them alive and unchanged as long as the header is used. Format: ggml's docs/gguf.md.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/tensor_type.h"
#include "gguf/value.h"
#include "protocol/error.h"

namespace ggufd::gguf {

inline constexpr std::uint32_t max_dimensions = 4;
inline constexpr std::size_t max_architecture_bytes = 128;  // a prefix of many keys, so it is kept short

struct Key {
  std::string_view name;
  Value value;
  std::uint64_t offset = 0;  // of the key in the file, bytes
};

struct Tensor {
  std::string_view name;
  const TensorType* type = nullptr;  // null where type_id is none of today's
  std::uint32_t type_id = 0;
  std::uint32_t n_dims = 0;
  std::array<std::uint64_t, max_dimensions> shape = {1, 1, 1, 1};  // innermost first; 1 from n_dims on
  std::uint64_t offset = 0;                                        // bytes from Header::data_offset
  std::uint64_t elements = 0;                                      // 0 where the shape is unusable
  std::uint64_t bytes = 0;                                         // 0 where type or shape is unusable
  std::uint64_t info_offset = 0;                                   // of its entry in the file, bytes

  std::span<const std::uint64_t> dimensions() const { return std::span(shape).first(n_dims); }
};

// What a report with defects holds in it is what could be read; every look-up is safe on that too.
class Header {
 public:
  std::uint32_t version = 0;
  std::uint32_t alignment = 32;
  std::uint64_t data_offset =
      0;  // where tensor data starts; 0 until the table of tensors was read to its end
  std::uint64_t end_of_data = 0;  // the end of the last tensor; data_offset where there is none
  std::vector<Key> keys;          // as they stand in the file
  std::vector<Tensor> tensors;    // as they stand in the file

  // Null where there is none; the first one where a (defective) file has several.
  const Key* find_key(std::string_view name) const;
  const Tensor* find_tensor(std::string_view name) const;

  // A key's value with exactly that type. find: nothing where the key is absent; get: that is an error too.
  // A value of another type is invalid_gguf, in both. Defined for every type that satisfies GgufValue.
  template <GgufValue T>
  Result<std::optional<T>> find(std::string_view name) const;
  template <GgufValue T>
  Result<T> get(std::string_view name) const;

  // `general.architecture`; empty where it is absent, no string, or too long to be a name.
  std::string_view architecture() const;
  // "<architecture>.<suffix>": keys of the model's own parameters.
  std::string model_key(std::string_view suffix) const;

  // Size of the vocabulary: `<architecture>.vocab_size`, else the number of tokens; 0 where neither is known.
  std::uint64_t vocabulary_size() const;

  // Sums over the tensors; they stop at 2^64 - 1.
  std::uint64_t parameter_count() const;
  std::uint64_t tensor_bytes() const;

  // Keys and tensors in the order of their names, as indices into the vectors; equal names in the file's
  // order.
  std::span<const std::uint32_t> key_order() const { return key_order_; }
  std::span<const std::uint32_t> tensor_order() const { return tensor_order_; }

  // Makes the look-ups true to `keys` and `tensors`; for whoever fills those.
  void index();

 private:
  std::vector<std::uint32_t> key_order_;
  std::vector<std::uint32_t> tensor_order_;
};

}  // namespace ggufd::gguf
