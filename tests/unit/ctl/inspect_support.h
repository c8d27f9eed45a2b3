// Headers for the tests of `inspect` and `plan`, as if they had been read from files.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ctl/model_headers.h"
#include "gguf/split.h"
#include "gguf/validate.h"
#include "support.h"
#include "tests/support/gguf_builder.h"

namespace ggufd::ctl::test {

using ggufd::test::GgufBuilder;
using ggufd::test::llama_model;

inline FileHeader header_of(const GgufBuilder& file, std::string path = "/models/m.gguf") {
  FileHeader header;
  header.path = std::move(path);
  header.bytes = file.build();
  header.file_bytes = header.bytes.size();
  header.report = gguf::inspect(header.bytes, header.bytes.size());
  return header;
}

inline ModelHeaders headers_of(const GgufBuilder& file) {
  ModelHeaders headers;
  headers.files.push_back(header_of(file));
  return headers;
}

// A small file whose numbers a test can know by heart.
inline GgufBuilder small_file() {
  GgufBuilder file;
  file.add("general.architecture", "tiny")
      .add("general.name", "A tiny one")
      .add("tiny.epsilon", 1e-5F)
      .add_strings("tokenizer.ggml.tokens", {"!", "\"", "a\nb"})
      .tensor("output.weight", "q8_0", {64, 100})
      .tensor("norm.weight", "f32", {64});
  return file;
}

inline std::string bytes_text(const GgufBuilder& file) {
  const auto bytes = file.build();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  return lines;
}

}  // namespace ggufd::ctl::test
