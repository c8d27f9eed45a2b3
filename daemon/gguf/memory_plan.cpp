#include "gguf/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "gguf/defect.h"

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
                 .k_type = types.k,
                 .v_type = types.v,
                 .heads = layer.heads,
                 .k_head_elements = layer.k_head_elements,
                 .v_head_elements = layer.v_head_elements,
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

std::optional<std::uint64_t> add(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::nullopt : std::optional(sum);
}

// A value of the right type, or what it is without the key.
template <class T>
T value_or(const Header& header, std::string_view key, T otherwise) {
  const auto value = header.find<T>(key);
  return value ? value->value_or(otherwise) : otherwise;
}

}  // namespace

MemoryPlanner::MemoryPlanner(const Header& header, std::uint64_t other_shards_bytes)
    : architecture_(printable(header.architecture())),
      name_(printable(value_or<std::string_view>(header, "general.name", ""))),
      context_length_(value_or<std::uint32_t>(header, header.model_key("context_length"), 0)),
      embedding_length_(value_or<std::uint32_t>(header, header.model_key("embedding_length"), 0)),
      vocabulary_(header.vocabulary_size()),
      weights_bytes_(add(header.tensor_bytes(), other_shards_bytes)),
      shape_(model_shape(header)) {}

// The logits and the hidden state of one micro-batch, f32: a lower bound. No batch is longer than the
// context.
std::optional<std::uint64_t> MemoryPlanner::compute_bytes(const MemorySettings& settings) const {
  if (vocabulary_ == 0 || embedding_length_ == 0) return std::nullopt;
  const std::uint32_t n_ctx = settings.n_ctx != 0 ? settings.n_ctx : context_length_;
  const std::uint32_t tokens = n_ctx != 0 ? std::min(settings.n_ubatch, n_ctx) : settings.n_ubatch;
  bool overflow = false;
  const std::uint64_t bytes =
      narrow(Wide{sizeof(float)} * tokens * (Wide{vocabulary_} + embedding_length_), overflow);
  return overflow ? std::nullopt : std::optional(bytes);
}

// A file that does not say how long its context is, asked to use that, has an unknown cache, not an empty
// one.
std::string MemoryPlanner::why_unknown(std::uint64_t n_ctx) const {
  if (!shape_) return shape_.error();
  const bool attends =
      std::ranges::any_of(shape_->layers, [](const LayerShape& l) { return l.k_elements > 0; });
  return attends && n_ctx == 0 ? "the file does not say how long its context is; set n_ctx" : "";
}

Result<MemoryPlan> MemoryPlanner::plan(const MemorySettings& settings) const {
  const auto types = check(settings);
  if (!types) return std::unexpected(types.error());
  bool overflow = !weights_bytes_;
  MemoryPlan plan;
  plan.n_ctx = pad_to_multiple(settings.n_ctx != 0 ? settings.n_ctx : context_length_);
  plan.weights_bytes = weights_bytes_.value_or(0);
  plan.compute_bytes = compute_bytes(settings);
  plan.kv_unknown = why_unknown(plan.n_ctx);
  if (plan.kv_unknown.empty()) {
    auto kv = plan_kv(*shape_, settings, *types, plan.n_ctx);
    if (!kv) return std::unexpected(std::move(kv.error()));
    plan.kv = std::move(*kv);
  }
  if (plan.kv && plan.compute_bytes) {
    plan.total_bytes = narrow(Wide{plan.weights_bytes} + plan.kv->bytes() + *plan.compute_bytes, overflow);
  }
  if (overflow) return fail(ErrorCode::invalid_gguf, "the sizes of the model do not fit in 64 bits");
  return plan;
}

std::optional<std::uint64_t> MemoryPlanner::largest_n_ctx(const MemorySettings& settings,
                                                          std::uint64_t budget_bytes) const {
  if (!shape_ || context_length_ == 0) return std::nullopt;
  const auto total_with = [&](std::uint64_t n_ctx) -> std::optional<std::uint64_t> {
    MemorySettings tried = settings;
    tried.n_ctx = static_cast<std::uint32_t>(n_ctx);
    const auto tried_plan = plan(tried);
    return tried_plan ? tried_plan->total_bytes : std::nullopt;
  };
  // The total never falls as n_ctx grows, so the answer is found by halving. `fits` always does, in units of
  // 256.
  std::uint64_t fits = 0;
  std::uint64_t limit = std::max<std::uint64_t>(context_length_ / context_multiple, 1);
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

Result<MemoryPlan> plan_memory(const Header& header, const MemorySettings& settings,
                               std::uint64_t other_shards_bytes) {
  return MemoryPlanner(header, other_shards_bytes).plan(settings);
}

std::optional<std::uint64_t> largest_n_ctx(const Header& header, const MemorySettings& settings,
                                           std::uint64_t budget_bytes, std::uint64_t other_shards_bytes) {
  return MemoryPlanner(header, other_shards_bytes).largest_n_ctx(settings, budget_bytes);
}

}  // namespace ggufd::gguf
