// A model's own keys ("<architecture>.…"), read for a plan: a number, or one number a layer.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/header.h"

namespace ggufd::gguf {

// The first failure is kept and makes every later answer meaningless; ask failed() before using them.
class ModelParameters {
 public:
  explicit ModelParameters(const Header& header) : header_(header) {}

  // A u32; `otherwise` where the key is absent.
  std::uint32_t number(std::string_view suffix, std::uint32_t otherwise);
  std::optional<std::uint32_t> optional_number(std::string_view suffix);
  // A u32 that must be there.
  std::uint32_t required(std::string_view suffix);
  // A u32 for all layers, or an array (u32, i32 or bool) with one for each. Nothing where the key is absent.
  std::optional<std::vector<std::uint32_t>> per_layer(std::string_view suffix, std::uint32_t layers);
  // The key holds an array.
  bool is_array(std::string_view suffix) const;

  void fail(std::string reason);
  bool failed() const { return !failure_.empty(); }
  const std::string& failure() const { return failure_; }

 private:
  const Header& header_;
  std::string failure_;
};

}  // namespace ggufd::gguf
