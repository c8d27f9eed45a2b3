#include "gguf/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "gguf/defect.h"
#include "gguf/model_shape.h"
#include "gguf/tensor_type.h"

namespace ggufd::gguf {
namespace {

__extension__ typedef unsigned __int128 Wide;  // no product of a plan leaves it

struct CacheTypes {
  const TensorType* k = nullptr;
  const TensorType* v = nullptr;
};

Result<CacheTypes> check(const MemorySettings& settings) {
  if (settings.n_seq < 1 || settings.n_seq > max_sequences) {
    return fail(ErrorCode::bad_field,
                fmt::format("n_seq is {}; 1 to {} are possible", settings.n_seq, max_sequences));
  }
  if (settings.n_ubatch < 1) return fail(ErrorCode::bad_field, "n_ubatch is 0; it must be at least 1");
  const CacheTypes types{cache_type(settings.type_k), cache_type(settings.type_v)};
  for (const auto& [type, name] :
       {std::pair(types.k, &settings.type_k), std::pair(types.v, &settings.type_v)}) {
    if (type != nullptr) continue;
    return fail(
        ErrorCode::bad_field,
        fmt::format("\"{}\" is no cache type; use f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0 or q5_1",
                    printable(*name)));
  }
  return types;
}

constexpr std::uint64_t pad_to_multiple(std::uint64_t tokens) {
  return (tokens + context_multiple - 1) / context_multiple * context_multiple;
}

struct Cells {
  std::uint64_t full = 0;
  std::uint64_t sliding = 0;
  std::uint32_t streams = 1;
};

Cells count_cells(const MemorySettings& settings, std::uint64_t n_ctx, std::uint64_t window_tokens) {
  Cells cells;
  cells.streams = settings.kv_unified ? 1 : settings.n_seq;
  cells.full = settings.kv_unified ? n_ctx : pad_to_multiple(n_ctx / settings.n_seq);
  const std::uint64_t windows = window_tokens * (settings.kv_unified ? settings.n_seq : 1);
  cells.sliding =
      settings.swa_full ? cells.full : std::min(cells.full, pad_to_multiple(windows + settings.n_ubatch));
  return cells;
}

std::uint64_t narrow(Wide bytes, bool& overflow) {
  overflow |= bytes > std::numeric_limits<std::uint64_t>::max();
  return static_cast<std::uint64_t>(bytes);
}

// Quantized rows are cut into heads, so a head must be a whole number of blocks.
Result<std::uint64_t> cache_row(const TensorType& type, std::uint64_t elements, std::uint32_t head_elements,
                                std::string_view which) {
  if (elements == 0) return 0;
  if (head_elements % type.block_elements != 0) {
    return fail(
        ErrorCode::unsupported_gguf,
        fmt::format(
            "the {} cache cannot be {}: the model's heads have {} elements, no multiple of {}; use f16",
            which, type.name, head_elements, type.block_elements));
  }
  const auto bytes = row_bytes(type, elements);
  if (!bytes) {
    return fail(ErrorCode::invalid_gguf, fmt::format("a row of the {} cache does not fit in 64 bits", which));
  }
  return *bytes;
}

Result<LayerKv> plan_layer(const LayerShape& layer, const CacheTypes& types, const Cells& cells) {
  auto k_row = cache_row(*types.k, layer.k_elements, layer.k_head_elements, "K");
  if (!k_row) return std::unexpected(std::move(k_row.error()));
  auto v_row = cache_row(*types.v, layer.v_elements, layer.v_head_elements, "V");
  if (!v_row) return std::unexpected(std::move(v_row.error()));
  return LayerKv{.layer = layer.layer,
                 .sliding = layer.sliding,
                 .k_row_bytes = *k_row,
                 .v_row_bytes = *v_row,
                 .cells = layer.sliding ? cells.sliding : cells.full,
                 .streams = cells.streams};
}

LayerState plan_state(const LayerShape& layer, const MemorySettings& settings, bool& overflow) {
  return {.layer = layer.layer,
          .r_row_bytes = narrow(Wide{layer.r_elements} * sizeof(float), overflow),
          .s_row_bytes = narrow(Wide{layer.s_elements} * sizeof(float), overflow),
          .rows = settings.n_seq};
}

Result<KvPlan> plan_kv(const ModelShape& shape, const MemorySettings& settings, const CacheTypes& types,
                       std::uint64_t n_ctx) {
  const Cells cells = count_cells(settings, n_ctx, shape.window_tokens);
  KvPlan kv;
  kv.streams = cells.streams;
  Wide attention = 0;
  Wide recurrent = 0;
  bool overflow = false;
  for (const LayerShape& layer : shape.layers) {
    if (layer.k_elements > 0 || layer.v_elements > 0) {
      auto planned = plan_layer(layer, types, cells);
      if (!planned) return std::unexpected(std::move(planned.error()));
      attention += (Wide{planned->k_row_bytes} + planned->v_row_bytes) * planned->cells * planned->streams;
      (layer.sliding ? kv.swa_cells : kv.cells) = planned->cells;
      kv.layers.push_back(*planned);
    }
    if (layer.r_elements > 0 || layer.s_elements > 0) {
      const LayerState state = plan_state(layer, settings, overflow);
      recurrent += (Wide{state.r_row_bytes} + state.s_row_bytes) * state.rows;
      kv.states.push_back(state);
    }
  }
  kv.attention_bytes = narrow(attention, overflow);
  kv.recurrent_bytes = narrow(recurrent, overflow);
  (void)narrow(attention + recurrent, overflow);
  if (overflow) {
    return fail(ErrorCode::invalid_gguf,
                "the sizes of the KV cache do not fit in 64 bits; check the model's keys");
  }
  return kv;
}

// The logits and the hidden state of one micro-batch, f32: a lower bound.
std::optional<std::uint64_t> compute_bytes(const Header& header, const MemorySettings& settings) {
  const std::uint64_t vocabulary = header.vocabulary_size();
  const auto embedding = header.find<std::uint32_t>(header.model_key("embedding_length"));
  if (vocabulary == 0 || !embedding || embedding->value_or(0) == 0) return std::nullopt;
  bool overflow = false;
  const std::uint64_t bytes =
      narrow(Wide{sizeof(float)} * settings.n_ubatch * (Wide{vocabulary} + **embedding), overflow);
  return overflow ? std::nullopt : std::optional(bytes);
}

// A file that does not say how long its context is, asked to use that, has an unknown cache, not an empty
// one.
std::string without_context(const ModelShape& shape, std::uint64_t n_ctx) {
  const bool attends =
      std::ranges::any_of(shape.layers, [](const LayerShape& l) { return l.k_elements > 0; });
  return attends && n_ctx == 0 ? "the file does not say how long its context is; set n_ctx" : "";
}

Result<void> fill_kv(MemoryPlan& plan, const std::expected<ModelShape, std::string>& shape,
                     const MemorySettings& settings, const CacheTypes& types) {
  plan.kv_unknown = shape ? without_context(*shape, plan.n_ctx) : shape.error();
  if (!plan.kv_unknown.empty()) return {};
  auto kv = plan_kv(*shape, settings, types, plan.n_ctx);
  if (!kv) return std::unexpected(std::move(kv.error()));
  plan.kv = std::move(*kv);
  return {};
}

Result<MemoryPlan> plan_with_shape(const Header& header, const std::expected<ModelShape, std::string>& shape,
                                   const MemorySettings& settings, std::uint64_t other_shards_bytes) {
  const auto types = check(settings);
  if (!types) return std::unexpected(types.error());
  MemoryPlan plan;
  bool overflow = false;
  plan.n_ctx = pad_to_multiple(settings.n_ctx != 0 ? settings.n_ctx : shape ? shape->context_length : 0);
  plan.weights_bytes = narrow(Wide{header.tensor_bytes()} + other_shards_bytes, overflow);
  plan.compute_bytes = compute_bytes(header, settings);
  if (auto filled = fill_kv(plan, shape, settings, *types); !filled)
    return std::unexpected(std::move(filled.error()));
  if (plan.kv && plan.compute_bytes) {
    plan.total_bytes = narrow(Wide{plan.weights_bytes} + plan.kv->bytes() + *plan.compute_bytes, overflow);
  }
  if (overflow) return fail(ErrorCode::invalid_gguf, "the sizes of the model do not fit in 64 bits");
  return plan;
}

}  // namespace

Result<MemoryPlan> plan_memory(const Header& header, const MemorySettings& settings,
                               std::uint64_t other_shards_bytes) {
  return plan_with_shape(header, model_shape(header), settings, other_shards_bytes);
}

std::optional<std::uint64_t> largest_n_ctx(const Header& header, const MemorySettings& settings,
                                           std::uint64_t budget_bytes, std::uint64_t other_shards_bytes) {
  const auto shape = model_shape(header);
  if (!shape || shape->context_length == 0) return std::nullopt;
  const auto total_with = [&](std::uint64_t n_ctx) -> std::optional<std::uint64_t> {
    MemorySettings tried = settings;
    tried.n_ctx = static_cast<std::uint32_t>(n_ctx);
    const auto plan = plan_with_shape(header, shape, tried, other_shards_bytes);
    return plan ? plan->total_bytes : std::nullopt;
  };
  // The total never falls as n_ctx grows, so the answer is found by halving. `fits` always does, in units of
  // 256.
  std::uint64_t fits = 0;
  std::uint64_t limit = std::max<std::uint64_t>(shape->context_length / context_multiple, 1);
  if (!total_with(context_multiple)) return std::nullopt;
  while (fits < limit) {
    const std::uint64_t middle = fits + (limit - fits + 1) / 2;
    const auto total = total_with(middle * context_multiple);
    if (total && *total <= budget_bytes) {
      fits = middle;
    } else {
      limit = middle - 1;
    }
  }
  return fits * context_multiple;
}

}  // namespace ggufd::gguf
