// Makes small GGUFs, sound ones and broken ones, in memory or as files. Everything is deterministic: the same
// calls with the same seed give the same bytes.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/tensor_type.h"
#include "gguf/value.h"
#include "protocol/error.h"

namespace ggufd::test {

class GgufBuilder {
 public:
  using Bytes = std::vector<std::byte>;

  // A number (its C++ type is its type in the file), a bool, or a string.
  template <class T>
    requires(gguf::GgufValue<T> && !std::same_as<T, std::string_view>)
  GgufBuilder& add(std::string_view key, T value) {
    begin_key(key, *gguf::value_type_of<T>);
    put(value);
    return *this;
  }
  GgufBuilder& add(std::string_view key, std::string_view text);
  GgufBuilder& add(std::string_view key, const char* text) { return add(key, std::string_view(text)); }

  template <class T>
    requires(gguf::GgufValue<T> && !std::same_as<T, std::string_view>)
  GgufBuilder& add_array(std::string_view key, std::span<const T> values) {
    begin_array(key, *gguf::value_type_of<T>, values.size());
    for (const T value : values) put(value);
    return *this;
  }
  template <class T>
    requires(gguf::GgufValue<T> && !std::same_as<T, std::string_view>)
  GgufBuilder& add_array(std::string_view key, std::initializer_list<T> values) {
    return add_array(key, std::span<const T>(values.begin(), values.size()));
  }
  GgufBuilder& add_strings(std::string_view key, std::span<const std::string> values);
  GgufBuilder& add_strings(std::string_view key, std::initializer_list<std::string> values) {
    return add_strings(key, std::span<const std::string>(values.begin(), values.size()));
  }

  // A tensor at the next free place. Its data are finite values from the seed.
  GgufBuilder& tensor(std::string_view name, std::string_view type, std::vector<std::uint64_t> shape);
  // Of the tensor added last, the first `rows` (counted in its outermost dimension) are zeros instead.
  GgufBuilder& zero_rows(std::uint64_t rows);

  GgufBuilder& seed(std::uint64_t seed);
  // Of the data; written as general.alignment only where a key says so.
  GgufBuilder& align_to(std::uint64_t alignment);

  // Damage. What is not overridden is what a sound file has.
  GgufBuilder& magic(std::string_view four_bytes);
  GgufBuilder& version(std::uint32_t version);
  GgufBuilder& claim_tensors(std::uint64_t count);
  GgufBuilder& claim_keys(std::uint64_t count);
  // A key whose value is given as it stands in the file.
  GgufBuilder& raw_key(std::string_view key, std::uint32_t value_type, std::span<const std::byte> value);
  // A string (array) whose length field lies.
  GgufBuilder& add_with_length(std::string_view key, std::string_view text, std::uint64_t claimed_length);
  GgufBuilder& array_header(std::string_view key, std::uint32_t element_type, std::uint64_t claimed_count);
  // An entry of the table as it is given, without data.
  GgufBuilder& raw_tensor(std::string_view name, std::uint32_t n_dims, std::vector<std::uint64_t> shape,
                          std::uint32_t type_id, std::uint64_t offset);
  // A tensor's name with a length field that lies; it ends the table.
  GgufBuilder& raw_tensor_name(std::string_view name, std::uint64_t claimed_length);

  // The header up to the start of the data, padding included.
  Bytes header() const;
  Bytes build() const;
  // The whole file, slice by slice; what was at `path` is replaced. The error is `io` or `disk_full`.
  Result<void> write(const std::filesystem::path& path) const;
  std::uint64_t data_bytes() const { return data_bytes_; }

 private:
  struct Data {
    const gguf::TensorType* type;
    std::uint64_t offset;
    std::uint64_t bytes;
    std::uint64_t row_bytes;
    std::uint64_t zero_bytes = 0;  // at its front
  };

  void begin_key(std::string_view key, gguf::ValueType type);
  void begin_array(std::string_view key, gguf::ValueType element, std::uint64_t count);
  template <class T>
  void put(T value) {
    append(keys_, &value, sizeof value);
  }
  static void append(Bytes& to, const void* from, std::size_t count);
  // Hands out the data, padding included, in slices of whole blocks.
  void each_slice(const std::function<void(std::span<const std::byte>)>& use) const;

  Bytes keys_;
  Bytes tensors_;
  std::vector<Data> data_;
  std::uint64_t n_keys_ = 0;
  std::uint64_t n_tensors_ = 0;
  std::uint64_t data_bytes_ = 0;
  std::uint64_t alignment_ = 32;
  std::uint64_t seed_ = 1;
  std::uint32_t version_ = 3;
  std::string magic_ = "GGUF";
};

struct LlamaOptions {
  std::uint64_t target_bytes = 0;  // 0: as small as the other numbers allow; else the file has about so many
  std::uint64_t seed = 1;
  std::uint32_t n_ctx = 2048;
  std::uint32_t n_layers = 2;   // raised where the target asks for it, like n_embd
  std::uint32_t n_embd = 64;    // a multiple of 64
  std::uint32_t n_vocab = 512;  // at least 320
  bool gpt2_tokenizer = false;  // else llama's (SentencePiece)
  std::string name = "ggufd test model";
};

// A sound model of architecture llama: every key and tensor that llama.cpp asks for, f32 norms, f16
// embeddings, q8_0 matrices. What it says is noise.
GgufBuilder llama_model(const LlamaOptions& options = {});

}  // namespace ggufd::test
