// How much memory a model takes, before any of it is taken: weights, KV cache and recurrent state, and the
// least that computing needs. The cache is sized as llama.cpp sizes it (llama-kv-cache,
// llama-memory-recurrent, 2026-08). What cannot be known is absent, with the reason; nothing is estimated.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "gguf/header.h"
#include "gguf/model_shape.h"
#include "gguf/tensor_type.h"
#include "protocol/error.h"

namespace ggufd::gguf {

inline constexpr std::uint32_t max_sequences = 256;     // llama.cpp's
inline constexpr std::uint32_t context_multiple = 256;  // cells are allocated in multiples of it

struct MemorySettings {
  std::uint32_t n_ctx = 0;  // tokens; 0: the model's own context length
  std::uint32_t n_seq = 1;
  bool kv_unified = true;  // one cache that all sequences share; else one each ("streams")
  std::string type_k = "f16";
  std::string type_v = "f16";
  std::uint32_t n_ubatch = 512;  // tokens computed at once
  bool swa_full = false;         // sliding window layers cache as much as the others
};

// One layer's cache. K takes k_row_bytes * cells * streams bytes, V likewise. A cell's row is `heads` heads,
// one after the other, of k_head_elements (v_head_elements) elements of k_type (v_type).
struct LayerKv {
  std::uint32_t layer = 0;
  bool sliding = false;
  const TensorType* k_type = nullptr;  // never null in a plan; lives as long as the program
  const TensorType* v_type = nullptr;
  std::uint32_t heads = 0;
  std::uint32_t k_head_elements = 0;
  std::uint32_t v_head_elements = 0;  // 0 with multi-head latent attention
  std::uint64_t k_row_bytes = 0;      // a cell
  std::uint64_t v_row_bytes = 0;      // a cell; 0 with multi-head latent attention
  std::uint64_t cells = 0;            // a stream
  std::uint32_t streams = 1;

  friend bool operator==(const LayerKv&, const LayerKv&) = default;
};

// One layer's recurrent state: r_row_bytes * rows and s_row_bytes * rows bytes, f32.
struct LayerState {
  std::uint32_t layer = 0;
  std::uint64_t r_row_bytes = 0;
  std::uint64_t s_row_bytes = 0;
  std::uint32_t rows = 1;

  friend bool operator==(const LayerState&, const LayerState&) = default;
};

struct KvPlan {
  std::uint64_t attention_bytes = 0;
  std::uint64_t recurrent_bytes = 0;
  std::uint64_t cells = 0;      // a stream, of the layers that see all tokens; 0 where there is none
  std::uint64_t swa_cells = 0;  // a stream, of the layers with a sliding window; 0 where there is none
  std::uint32_t streams = 1;
  std::vector<LayerKv> layers;
  std::vector<LayerState> states;

  std::uint64_t bytes() const { return attention_bytes + recurrent_bytes; }
};

struct MemoryPlan {
  std::uint64_t n_ctx = 0;  // tokens, in multiples of 256; 0 where neither the settings nor the file say
  std::uint64_t weights_bytes = 0;
  std::optional<KvPlan> kv;
  std::string kv_unknown;  // why kv is absent; empty where it is there
  std::optional<std::uint64_t>
      compute_bytes;  // the least; absent where vocabulary or embedding size is unknown
  std::optional<std::uint64_t> total_bytes;  // absent where one of the parts is
};

// Plans for one model. It holds what it needs of the header, so that the header's bytes may go away; copies
// are cheap. `other_shards_bytes`: tensors of a split model's other files.
class MemoryPlanner {
 public:
  explicit MemoryPlanner(const Header& header, std::uint64_t other_shards_bytes = 0);

  // bad_field where a setting is out of its range or names no cache type; unsupported_gguf where this model
  // cannot have the cache that the settings ask for; invalid_gguf where sizes do not fit in 64 bits.
  Result<MemoryPlan> plan(const MemorySettings& settings) const;

  // The largest n_ctx, a multiple of 256 up to the model's context length (a shorter one counts as 256),
  // whose total is at most `budget_bytes`; settings.n_ctx plays no part. 0 where not even 256 fit, nothing
  // where it cannot be known.
  std::optional<std::uint64_t> largest_n_ctx(const MemorySettings& settings,
                                             std::uint64_t budget_bytes) const;

  const std::string& architecture() const { return architecture_; }  // printable; "" where absent
  const std::string& name() const { return name_; }  // general.name, printable; "" where absent
  std::uint32_t context_length() const { return context_length_; }  // tokens; 0 where the file does not say

 private:
  std::optional<std::uint64_t> compute_bytes(const MemorySettings& settings) const;
  // An empty reason: the cache can be planned.
  std::string why_unknown(std::uint64_t n_ctx) const;

  std::string architecture_;
  std::string name_;
  std::uint32_t context_length_ = 0;
  std::uint32_t embedding_length_ = 0;          // 0 where unknown
  std::uint64_t vocabulary_ = 0;                // 0 where unknown
  std::optional<std::uint64_t> weights_bytes_;  // nothing where they leave 64 bits
  std::expected<ModelShape, std::string> shape_;
};

// The same for a caller with a header at hand and one question.
Result<MemoryPlan> plan_memory(const Header& header, const MemorySettings& settings,
                               std::uint64_t other_shards_bytes = 0);
std::optional<std::uint64_t> largest_n_ctx(const Header& header, const MemorySettings& settings,
                                           std::uint64_t budget_bytes, std::uint64_t other_shards_bytes = 0);

}  // namespace ggufd::gguf
