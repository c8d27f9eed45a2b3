// A model's parameters, as far as its memory depends on them: per layer, what is cached for each token and
// what state is kept for each sequence.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "gguf/architecture.h"
#include "gguf/header.h"

namespace ggufd::gguf {

inline constexpr std::uint32_t max_layers = 512;    // llama.cpp's
inline constexpr std::uint32_t max_experts = 1024;  // llama.cpp's

struct LayerShape {
  std::uint32_t layer = 0;

  // Attention; elements cached for each token, 0 where the layer owns no cache.
  bool sliding = false;
  std::uint64_t k_elements = 0;
  std::uint64_t v_elements = 0;       // 0 with multi-head latent attention, which caches K only
  std::uint32_t heads = 0;            // that have keys and values of their own
  std::uint32_t k_head_elements = 0;  // k_elements = heads * k_head_elements
  std::uint32_t v_head_elements = 0;

  // Recurrent state; f32 elements kept for each sequence, 0 where the layer has none.
  std::uint64_t r_elements = 0;
  std::uint64_t s_elements = 0;
};

struct ModelShape {
  std::uint32_t window_tokens = 0;  // of the sliding layers
  std::vector<LayerShape> layers;   // only layers that remember anything
};

// The error is the reason why the shape is unknown: a sentence.
std::expected<ModelShape, std::string> model_shape(const Header& header);

}  // namespace ggufd::gguf
