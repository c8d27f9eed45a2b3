#include "gguf/model_shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "gguf/defect.h"
#include "gguf/model_parameters.h"

namespace ggufd::gguf {
namespace {

struct Heads {
  std::vector<std::uint32_t> kv;  // a layer
  std::uint32_t key_elements = 0;
  std::uint32_t value_elements = 0;
  std::uint32_t sliding_key_elements = 0;
  std::uint32_t sliding_value_elements = 0;
  bool latent = false;  // multi-head latent attention
};

Heads read_heads(ModelParameters& keys, std::uint32_t layers) {
  Heads heads;
  const auto query = keys.per_layer("attention.head_count", layers);
  const std::uint32_t head_count = query && !query->empty() ? query->front() : 0;
  const std::uint32_t embedding = keys.number("embedding_length", 0);
  const std::uint32_t share = head_count > 0 ? embedding / head_count : 0;
  heads.latent =
      keys.optional_number("attention.key_length_mla") && keys.optional_number("attention.value_length_mla");

  heads.kv = keys.per_layer("attention.head_count_kv", layers)
                 .value_or(query.value_or(std::vector<std::uint32_t>{}));
  heads.key_elements =
      heads.latent ? keys.required("attention.key_length") : keys.number("attention.key_length", share);
  heads.value_elements = keys.number("attention.value_length", share);
  heads.sliding_key_elements = keys.number("attention.key_length_swa", heads.key_elements);
  heads.sliding_value_elements = keys.number("attention.value_length_swa", heads.value_elements);
  if (heads.kv.empty()) {
    keys.fail("the file does not say how many attention heads the model has");
  } else if (heads.key_elements == 0 || heads.value_elements == 0) {
    keys.fail("the file does not say how long an attention head's keys and values are");
  }
  return heads;
}

// Tokens of the sliding window; 0: the model has none.
std::uint32_t window_tokens(ModelParameters& keys, const Window& window, std::uint32_t layers) {
  if (window.use == Window::Use::never || (window.only_layers != 0 && window.only_layers != layers)) return 0;
  const auto set = keys.optional_number("attention.sliding_window");
  if (window.use == Window::Use::required && set.value_or(0) == 0) {
    keys.fail("attention.sliding_window, which the architecture needs, is missing or 0");
  }
  if (set == 0U || (window.use == Window::Use::if_set && !set)) return 0;
  return window.fixed_tokens != 0 ? window.fixed_tokens : set.value_or(window.default_tokens);
}

// Which layers look at the window only. 0 as a period means all of them, 1 none.
std::vector<bool> sliding_layers(ModelParameters& keys, const Window& window, std::uint32_t layers) {
  std::vector<bool> sliding(layers, false);
  constexpr std::string_view pattern_key = "attention.sliding_window_pattern";
  if (keys.is_array(pattern_key)) {
    const auto flags = keys.per_layer(pattern_key, layers);
    for (std::uint32_t l = 0; flags && l < layers; ++l) sliding[l] = (*flags)[l] != 0;
    return sliding;
  }
  const auto set = keys.optional_number(pattern_key);
  if (!set && window.period == Window::pattern_required) {
    keys.fail("attention.sliding_window_pattern, which says which layers have a window, is missing");
    return sliding;
  }
  const std::uint32_t period = set.value_or(static_cast<std::uint32_t>(std::max(window.period, 0)));
  for (std::uint32_t l = 0; l < layers; ++l) {
    sliding[l] = period == 0 || (window.dense_first ? l % period != 0 : l % period < period - 1);
  }
  return sliding;
}

std::vector<bool> recurrent_layers(ModelParameters& keys, const Architecture& architecture,
                                   const Heads& heads, std::uint32_t layers) {
  std::vector<bool> recurrent(layers, false);
  switch (architecture.memory) {
    case Memory::none:
    case Memory::attention:
      break;
    case Memory::recurrent:
    case Memory::parallel:
      recurrent.assign(layers, true);
      break;
    case Memory::hybrid_by_heads:
      for (std::uint32_t l = 0; l < heads.kv.size(); ++l) recurrent[l] = heads.kv[l] == 0;
      break;
    case Memory::hybrid_by_ffn: {
      const auto ffn = keys.per_layer("feed_forward_length", layers);
      if (!ffn) keys.fail("feed_forward_length, which tells the kinds of layers apart, is missing");
      for (std::uint32_t l = 0; ffn && l < heads.kv.size(); ++l)
        recurrent[l] = heads.kv[l] == 0 && (*ffn)[l] == 0;
      break;
    }
    case Memory::hybrid_by_interval: {
      const std::uint32_t interval = keys.number("full_attention_interval", 4);
      if (interval == 0) keys.fail("full_attention_interval is 0");
      for (std::uint32_t l = 0; interval > 0 && l < layers; ++l) recurrent[l] = (l + 1) % interval != 0;
      break;
    }
  }
  return recurrent;
}

struct StateElements {
  std::uint64_t r = 0;
  std::uint64_t s = 0;
};

// A product or a sum that leaves 64 bits is the file's failure, not ours.
class Arithmetic {
 public:
  std::uint64_t product(std::uint64_t a, std::uint64_t b) {
    std::uint64_t result = 0;
    overflow_ |= __builtin_mul_overflow(a, b, &result);
    return result;
  }
  std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
    std::uint64_t result = 0;
    overflow_ |= __builtin_add_overflow(a, b, &result);
    return result;
  }
  bool overflow() const { return overflow_; }

 private:
  bool overflow_ = false;
};

StateElements mamba_state(ModelParameters& keys, bool grouped, Arithmetic& math) {
  const std::uint64_t kernel = keys.required("ssm.conv_kernel");
  const std::uint64_t inner = keys.required("ssm.inner_size");
  const std::uint64_t state = keys.required("ssm.state_size");
  const std::uint64_t groups = grouped ? keys.number("ssm.group_count", 0) : 0;
  const std::uint64_t width = math.sum(inner, math.product(2 * groups, state));
  return {math.product(kernel > 0 ? kernel - 1 : 0, width), math.product(state, inner)};
}

StateElements state_elements(ModelParameters& keys, State state) {
  Arithmetic math;
  StateElements elements;
  switch (state) {
    case State::none:
      break;
    case State::mamba:
    case State::mamba_grouped:
      elements = mamba_state(keys, state == State::mamba_grouped, math);
      break;
    case State::rwkv: {
      const std::uint64_t embedding = keys.required("embedding_length");
      elements = {math.product(keys.number("token_shift_count", 2), embedding),
                  math.product(embedding, keys.required("wkv.head_size"))};
      break;
    }
    case State::short_convolution: {
      const std::uint64_t cached = keys.required("shortconv.l_cache");
      elements = {math.product(keys.required("embedding_length"), cached > 0 ? cached - 1 : 0), 0};
      break;
    }
  }
  if (math.overflow()) keys.fail("the sizes of the recurrent state do not fit in 64 bits");
  return elements;
}

// Layers from here on cache nothing of their own: they reuse another layer's cache or only predict ahead.
std::uint32_t caching_layers(ModelParameters& keys, const Architecture& architecture, std::uint32_t layers) {
  const std::uint32_t shared = keys.number("attention.shared_kv_layers", 0);
  const std::uint32_t ahead = keys.number("nextn_predict_layers", 0);
  if (shared >= layers || ahead >= layers - shared) {
    keys.fail("more layers are said to share their cache or to predict ahead than there are");
    return 0;
  }
  const std::uint32_t own = layers - shared - ahead;
  return architecture.kv_layers != 0 ? std::min(own, architecture.kv_layers) : own;
}

void fill_attention(LayerShape& layer, const Heads& heads) {
  const std::uint64_t count = heads.kv[layer.layer];
  layer.k_head_elements = layer.sliding ? heads.sliding_key_elements : heads.key_elements;
  layer.v_head_elements = layer.sliding ? heads.sliding_value_elements : heads.value_elements;
  layer.k_elements = count * layer.k_head_elements;
  layer.v_elements = heads.latent ? 0 : count * layer.v_head_elements;
}

bool remembers(const LayerShape& layer) {
  return layer.k_elements != 0 || layer.v_elements != 0 || layer.r_elements != 0 || layer.s_elements != 0;
}

void fill_layers(ModelShape& shape, ModelParameters& keys, const Architecture& architecture,
                 std::uint32_t layers) {
  const bool attends = architecture.memory != Memory::recurrent;
  const Heads heads = attends ? read_heads(keys, layers) : Heads();
  const auto recurrent = recurrent_layers(keys, architecture, heads, layers);
  const StateElements state = state_elements(keys, architecture.state);
  shape.window_tokens = window_tokens(keys, architecture.window, layers);
  const auto sliding = shape.window_tokens != 0 ? sliding_layers(keys, architecture.window, layers)
                                                : std::vector<bool>(layers, false);
  const std::uint32_t caching = caching_layers(keys, architecture, layers);
  if (keys.failed()) return;

  for (std::uint32_t l = 0; l < caching; ++l) {
    LayerShape layer{.layer = l, .sliding = sliding[l]};
    if (recurrent[l]) {
      layer.r_elements = state.r;
      layer.s_elements = state.s;
    }
    if (attends && (!recurrent[l] || architecture.memory == Memory::parallel)) fill_attention(layer, heads);
    if (remembers(layer)) shape.layers.push_back(layer);
  }
}

}  // namespace

std::expected<ModelShape, std::string> model_shape(const Header& header) {
  const std::string name = printable(header.architecture());
  if (name.empty()) return std::unexpected("the file names no architecture");
  const Architecture* architecture = find_architecture(header.architecture());
  if (architecture == nullptr) {
    return std::unexpected(fmt::format("the memory of architecture {} is not known here", name));
  }
  ModelParameters keys(header);
  ModelShape shape;
  shape.context_length = keys.number("context_length", 0);
  if (architecture->memory != Memory::none) {
    const std::uint32_t layers = keys.required("block_count");
    if (layers > max_layers)
      keys.fail(fmt::format("{}.block_count is {}, over {}", name, layers, max_layers));
    if (!keys.failed() && layers > 0) fill_layers(shape, keys, *architecture, layers);
  }
  if (keys.failed()) return std::unexpected(keys.failure());
  return shape;
}

}  // namespace ggufd::gguf
