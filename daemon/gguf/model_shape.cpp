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

// Both keys, or neither; the engine stops at one.
bool read_latent(ModelParameters& keys, const Architecture& architecture) {
  if (!architecture.latent) return false;
  const bool key = keys.number("attention.key_length_mla", 0) != 0;
  const bool value = keys.number("attention.value_length_mla", 0) != 0;
  if (key != value) keys.fail("one of attention.key_length_mla and attention.value_length_mla is missing");
  return key && value;
}

Heads read_heads(ModelParameters& keys, const Architecture& architecture, std::uint32_t layers) {
  Heads heads;
  const auto query = keys.per_layer("attention.head_count", layers);
  const std::uint32_t head_count = query && !query->empty() ? query->front() : 0;
  const std::uint32_t embedding = keys.number("embedding_length", 0);
  const std::uint32_t share = head_count > 0 ? embedding / head_count : 0;
  heads.latent = read_latent(keys, architecture);
  heads.kv = keys.per_layer("attention.head_count_kv", layers)
                 .value_or(query.value_or(std::vector<std::uint32_t>{}));
  heads.key_elements =
      heads.latent ? keys.required("attention.key_length") : keys.number("attention.key_length", share);
  heads.value_elements = keys.number("attention.value_length", share);
  heads.sliding_key_elements = keys.number("attention.key_length_swa", heads.key_elements);
  heads.sliding_value_elements = keys.number("attention.value_length_swa", heads.value_elements);
  if (heads.kv.empty()) {
    keys.fail("the file does not say how many attention heads the model has");
  } else if (std::ranges::min({heads.key_elements, heads.value_elements, heads.sliding_key_elements,
                               heads.sliding_value_elements}) == 0) {
    keys.fail("the file does not say how long an attention head's keys and values are");
  }
  return heads;
}

// Tokens of the sliding window; 0: the model has none. `blocks` is the file's block_count.
std::uint32_t window_tokens(ModelParameters& keys, const Window& window, std::uint32_t blocks) {
  if (window.use == Window::Use::never || (window.only_layers != 0 && window.only_layers != blocks)) return 0;
  const auto set = keys.optional_number("attention.sliding_window");
  const bool zero = window.use == Window::Use::if_set ? set.value_or(0) == 0 : set == 0U;
  if (zero && window.use != Window::Use::always) return 0;
  const std::uint32_t tokens =
      window.fixed_tokens != 0 ? window.fixed_tokens : set.value_or(window.default_tokens);
  if (tokens == 0) keys.fail("attention.sliding_window, which the architecture needs, is missing or 0");
  return tokens;
}

// 0 as a period means all layers, 1 none.
bool slides(const Window& window, std::uint32_t period, std::uint32_t layer) {
  return period == 0 || (window.dense_first ? layer % period != 0 : layer % period < period - 1);
}

// Which layers look at the window only.
std::vector<bool> sliding_layers(ModelParameters& keys, const Window& window, std::uint32_t layers) {
  constexpr std::string_view pattern_key = "attention.sliding_window_pattern";
  std::vector<bool> sliding(layers, window.pattern == Window::Pattern::unread);
  const bool array = keys.is_array(pattern_key);
  if (window.pattern == Window::Pattern::unread) return sliding;
  if (window.pattern == Window::Pattern::flags || (window.pattern == Window::Pattern::either && array)) {
    const auto flags = keys.per_layer(pattern_key, layers);
    if (!flags)
      keys.fail("attention.sliding_window_pattern, which says which layers have a window, is missing");
    for (std::uint32_t l = 0; flags && l < layers; ++l) sliding[l] = (*flags)[l] != 0;
    return sliding;
  }
  const auto set = array ? std::nullopt : keys.optional_number(pattern_key);
  if (!set && window.pattern == Window::Pattern::either)
    keys.fail("attention.sliding_window_pattern, which says which layers have a window, is missing");
  for (std::uint32_t l = 0; l < layers; ++l) sliding[l] = slides(window, set.value_or(window.period), l);
  return sliding;
}

// What the layers do, each.
struct Kinds {
  std::vector<bool> recurrent;
  std::vector<bool> attending;
};

Kinds kinds_by_ffn(ModelParameters& keys, const Heads& heads, std::uint32_t layers) {
  Kinds kinds{std::vector<bool>(layers, false), std::vector<bool>(layers, false)};
  const auto ffn = keys.per_layer("feed_forward_length", layers);
  if (!ffn) keys.fail("feed_forward_length, which tells the kinds of layers apart, is missing");
  for (std::uint32_t l = 0; ffn && l < heads.kv.size(); ++l) {
    kinds.recurrent[l] = heads.kv[l] == 0 && (*ffn)[l] == 0;
    kinds.attending[l] = heads.kv[l] != 0 && (*ffn)[l] == 0;
  }
  return kinds;
}

std::vector<bool> recurrent_by_interval(ModelParameters& keys, std::uint32_t layers) {
  std::vector<bool> recurrent(layers, false);
  if (const auto flags = keys.per_layer("attention.recurrent_layers", layers)) {
    for (std::uint32_t l = 0; l < layers; ++l) recurrent[l] = (*flags)[l] != 0;
    return recurrent;
  }
  const std::uint32_t interval = keys.number("full_attention_interval", 4);
  if (interval == 0) keys.fail("full_attention_interval is 0");
  for (std::uint32_t l = 0; interval > 0 && l < layers; ++l) recurrent[l] = (l + 1) % interval != 0;
  return recurrent;
}

Kinds layer_kinds(ModelParameters& keys, const Architecture& architecture, const Heads& heads,
                  std::uint32_t layers) {
  Kinds kinds{std::vector<bool>(layers, false), std::vector<bool>(layers, true)};
  switch (architecture.memory) {
    case Memory::none:
    case Memory::attention:
      return kinds;
    case Memory::parallel:
      kinds.recurrent.flip();
      return kinds;
    case Memory::hybrid_by_ffn:
      return kinds_by_ffn(keys, heads, layers);
    case Memory::recurrent:
      kinds.recurrent.flip();
      break;
    case Memory::hybrid_by_heads:
      for (std::uint32_t l = 0; l < heads.kv.size(); ++l) kinds.recurrent[l] = heads.kv[l] == 0;
      break;
    case Memory::hybrid_by_interval:
      kinds.recurrent = recurrent_by_interval(keys, layers);
      break;
  }
  kinds.attending = kinds.recurrent;
  kinds.attending.flip();
  return kinds;
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
  const std::uint64_t groups = grouped ? keys.required("ssm.group_count") : 0;
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

// Layers that take part in a model's own context, from the first: those that only predict ahead come last.
std::uint32_t trunk_layers(ModelParameters& keys, const Architecture& architecture, std::uint32_t blocks) {
  const std::uint32_t ahead =
      architecture.ahead == Ahead::unread ? 0 : keys.number("nextn_predict_layers", 0);
  if (ahead == 0) return blocks;
  if (ahead >= blocks) {
    keys.fail(fmt::format("{} of {} layers are said to predict ahead", ahead, blocks));
  } else if (architecture.ahead == Ahead::disputed) {
    keys.fail("whether the layers that predict ahead are cached depends on the engine's release");
  }
  return keys.failed() ? 0 : blocks - ahead;
}

// Layers with a cache of their own, from the first; the others use one of those.
std::uint32_t owning_layers(ModelParameters& keys, const Architecture& architecture, std::uint32_t layers) {
  const std::uint32_t shared = architecture.shares_cache ? keys.number("attention.shared_kv_layers", 0) : 0;
  if (shared >= layers) {
    keys.fail(fmt::format("{} of {} layers are said to share another's cache", shared, layers));
    return 0;
  }
  return architecture.kv_layers != 0 ? std::min(layers, architecture.kv_layers) : layers - shared;
}

void fill_attention(LayerShape& layer, const Heads& heads) {
  layer.heads = heads.kv[layer.layer];
  layer.k_head_elements = layer.sliding ? heads.sliding_key_elements : heads.key_elements;
  layer.v_head_elements = layer.sliding ? heads.sliding_value_elements : heads.value_elements;
  if (heads.latent) layer.v_head_elements = 0;
  layer.k_elements = std::uint64_t{layer.heads} * layer.k_head_elements;
  layer.v_elements = std::uint64_t{layer.heads} * layer.v_head_elements;
}

bool remembers(const LayerShape& layer) {
  return layer.k_elements != 0 || layer.v_elements != 0 || layer.r_elements != 0 || layer.s_elements != 0;
}

void fill_layers(ModelShape& shape, ModelParameters& keys, const Architecture& architecture,
                 std::uint32_t blocks) {
  const std::uint32_t layers = trunk_layers(keys, architecture, blocks);
  if (keys.failed()) return;
  const Heads heads =
      architecture.memory != Memory::recurrent ? read_heads(keys, architecture, layers) : Heads();
  const Kinds kinds = layer_kinds(keys, architecture, heads, layers);
  const StateElements state = state_elements(keys, architecture.state);
  shape.window_tokens = window_tokens(keys, architecture.window, blocks);
  const auto sliding = shape.window_tokens != 0 ? sliding_layers(keys, architecture.window, layers)
                                                : std::vector<bool>(layers, false);
  const std::uint32_t owning = owning_layers(keys, architecture, layers);
  if (keys.failed()) return;

  for (std::uint32_t l = 0; l < layers; ++l) {
    LayerShape layer{.layer = l, .sliding = sliding[l]};
    if (kinds.recurrent[l]) {
      layer.r_elements = state.r;
      layer.s_elements = state.s;
    }
    if (kinds.attending[l] && l < owning) fill_attention(layer, heads);
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
