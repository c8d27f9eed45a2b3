// What is known of a model architecture's memory: which layers cache keys and values, which look only at a
// window of the last tokens, which carry a recurrent state instead. Facts from llama.cpp's model loaders and
// from what it chooses as a model's memory (src/models, llama-model.cpp; July 2026, what differs since is
// noted). An architecture that is not listed is unknown, and nothing is planned for it.
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
  hybrid_by_ffn,       // the same among layers without feed-forward; those with one remember nothing
  hybrid_by_interval,  // `attention.recurrent_layers` says which carry a state; without it all but every
                       // `full_attention_interval`th
  parallel,            // every layer does both
};

// The formula of the recurrent state.
enum class State : std::uint8_t { none, mamba, mamba_grouped, rwkv, short_convolution };

// Sliding window attention.
struct Window {
  enum class Use : std::uint8_t {
    never,
    if_set,       // where `attention.sliding_window` is there and not 0
    unless_zero,  // also where that key is absent; off only where it is 0
    always,       // without the key: default_tokens; where there are none, the engine does not load the model
  };
  // What the engine reads in `attention.sliding_window_pattern`.
  enum class Pattern : std::uint8_t {
    period,  // a number; an array is passed over; without one it is `period` below
    flags,   // one flag a layer, or one for all; required
    either,  // a number is a period, an array has one flag a layer; required
    unread,  // every layer that attends has the window
  };

  Use use = Use::never;
  Pattern pattern = Pattern::period;
  std::uint32_t period = 0;
  std::uint32_t default_tokens = 0;  // where the key is absent
  std::uint32_t fixed_tokens = 0;    // where not 0: whatever the key says
  std::uint32_t only_layers = 0;     // where not 0: only models with so many layers have a window
  bool dense_first = false;          // the full layer opens each period instead of closing it
};

// The last `nextn_predict_layers` layers, which only predict further tokens.
enum class Ahead : std::uint8_t {
  unread,    // the engine does not know the key: they are layers like the others
  uncached,  // they have a cache in the drafting context only, which is not part of the plan
  disputed,  // cached or not, depending on the engine's release
};

struct Architecture {
  std::string_view name;
  Memory memory = Memory::attention;
  State state = State::none;
  Window window = {};
  Ahead ahead = Ahead::unread;
  bool latent = false;          // multi-head latent attention, where the file has its keys
  bool shares_cache = false;    // the last `attention.shared_kv_layers` layers use other layers' caches
  std::uint32_t kv_layers = 0;  // where not 0: only so many layers, from the first, own a cache
};

// Null where it is unknown. What is returned lives as long as the program.
const Architecture* find_architecture(std::string_view name);

}  // namespace ggufd::gguf
