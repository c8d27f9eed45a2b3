// Headers of models as they are published, without their weights.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gguf/reader.h"
#include "tests/support/gguf_builder.h"

namespace ggufd::test {

// A file to add keys to, and the header that it has at the moment it is asked for.
class ModelHeader {
 public:
  explicit ModelHeader(std::string_view architecture) : prefix_(std::string(architecture) + ".") {
    file.add("general.architecture", architecture);
  }

  template <class T>
  ModelHeader& set(std::string_view suffix, T value) {
    file.add(prefix_ + std::string(suffix), value);
    return *this;
  }
  template <class T>
  ModelHeader& set_array(std::string_view suffix, const std::vector<T>& values) {
    file.add_array<T>(prefix_ + std::string(suffix), std::span<const T>(values));
    return *this;
  }

  // Looks into this object.
  const gguf::Header& header() const {
    bytes_ = file.build();
    report_ = gguf::read(bytes_, bytes_.size());
    return report_.header;
  }

  GgufBuilder file;

 private:
  std::string prefix_;
  mutable std::vector<std::byte> bytes_;
  mutable gguf::Report report_;
};

struct ModelNumbers {
  std::uint32_t layers = 2;
  std::uint32_t heads = 4;
  std::uint32_t kv_heads = 0;  // 0: as many as heads
  std::uint32_t head = 64;
  std::uint32_t n_ctx = 4096;
  std::uint32_t n_vocab = 1000;
  std::uint32_t n_embd = 256;
};

ModelHeader plain_model(std::string_view architecture, const ModelNumbers& numbers);
ModelHeader deepseek_r1();
ModelHeader gpt_oss_20b();
ModelHeader gemma3_270m();
ModelHeader qwen36_27b();

}  // namespace ggufd::test
