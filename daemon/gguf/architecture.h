// What is known of a model architecture's memory: which layers cache keys and values, which look only at a
// window of the last tokens, which carry a recurrent state instead. Facts from llama.cpp's loaders.
// An architecture that is not listed is unknown, and nothing is planned for it.
#pragma once

#include <cstdint>
#include <string_view>

namespace ggufd::gguf {

// How layers remember.
enum class Memory : std::uint8_t {
  none,                // encoders and diffusion models: nothing outlives a batch
  attention,           // every layer caches K and V
  recurrent,           // every layer carries a state
  hybrid_by_heads,     // layers without KV heads carry a state
  hybrid_by_ffn,       // layers without KV heads and without feed-forward carry a state
  hybrid_by_interval,  // all but every `full_attention_interval`th layer carry a state
  parallel,            // every layer does both
};

// The formula of the recurrent state.
enum class State : std::uint8_t { none, mamba, mamba_grouped, rwkv, short_convolution };

// Sliding window attention.
struct Window {
  enum class Use : std::uint8_t {
    never,
    if_set,       // where `attention.sliding_window` is there and not 0
    required,     // the engine does not load the model without that key
    unless_zero,  // also where the key is absent; off only where it is 0
  };
  static constexpr std::int32_t pattern_required = -1;  // the file must say which layers

  Use use = Use::never;
  std::int32_t period = 0;           // of `attention.sliding_window_pattern` where the file has none
  std::uint32_t default_tokens = 0;  // where the key is absent
  std::uint32_t fixed_tokens = 0;    // where not 0: whatever the key says
  std::uint32_t only_layers = 0;     // where not 0: only models with so many layers have a window
  bool dense_first = false;          // the full layer opens each period instead of closing it
};

struct Architecture {
  std::string_view name;
  Memory memory = Memory::attention;
  State state = State::none;
  Window window = {};
  std::uint32_t kv_layers = 0;  // where not 0: only so many layers, from the first, own a cache
};

// Null where it is unknown. What is returned lives as long as the program.
const Architecture* find_architecture(std::string_view name);

}  // namespace ggufd::gguf
