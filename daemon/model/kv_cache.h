// The memory of a model's KV cache and recurrent state: one arena, laid out as its plan says, with typed
// views for an engine in this process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "gguf/memory_plan.h"
#include "loop/operation.h"
#include "model/memory_region.h"

namespace ggufd::model {

// K or V of one layer and one stream: `cells` rows of `heads` x `head_elements` elements of `type`. A row is
// a whole number of the type's blocks, the heads lie in it one behind the other.
struct CacheView {
  const gguf::TensorType* type = nullptr;
  std::uint32_t heads = 0;
  std::uint32_t head_elements = 0;
  std::uint64_t cells = 0;
  std::uint64_t row_bytes = 0;
  std::span<std::byte> bytes;  // cells * row_bytes; empty where the layer has none (V with latent attention)

  std::span<std::byte> row(std::uint64_t cell) const { return bytes.subspan(cell * row_bytes, row_bytes); }
};

// One sequence's state of one recurrent layer.
struct StateView {
  std::span<float> r;  // what the convolution or the token shift carries over
  std::span<float> s;  // the state itself
};

// In this order, without gaps:
//   for each layer of the plan   K, then V, of all streams: [stream][cell][head x element]
//   for each state of the plan   R, then S, of all rows: [row][element], f32
// It begins at a multiple of 2 MiB; as cells come in multiples of 256, every K and V begins at a multiple of
// 256 bytes. All zero until somebody writes. Shared by the model and its engine; destroying it unmaps
// gigabytes, so the pool does that.
class KvCache {
 public:
  // Addresses only, no memory yet: allocate_kv_cache() below brings that. `out_of_memory_budget` where the
  // system refuses; `internal` where the plan's parts are not its sum.
  static Result<std::shared_ptr<KvCache>> reserve(const gguf::KvPlan& plan);

  std::uint64_t size_bytes() const { return region_.size_bytes(); }
  const gguf::KvPlan& plan() const { return plan_; }
  const MemoryRegion& region() const { return region_; }

  // `layer` and `state` count the plan's layers and states, which name the model's own (LayerKv::layer).
  CacheView k(std::size_t layer, std::uint32_t stream) const;
  CacheView v(std::size_t layer, std::uint32_t stream) const;
  StateView state(std::size_t state, std::uint32_t row) const;

 private:
  // Where a layer's or a state's two parts begin.
  struct Offsets {
    std::uint64_t first = 0;
    std::uint64_t second = 0;
  };

  KvCache(const gguf::KvPlan& plan, MemoryRegion region) : plan_(plan), region_(std::move(region)) {}
  std::uint64_t lay_out();

  gguf::KvPlan plan_;
  MemoryRegion region_;
  std::vector<Offsets> layers_;
  std::vector<Offsets> states_;
};

struct KvCacheCallbacks {
  // After each slice: how much memory is there. Rises, up to the plan's bytes.
  std::move_only_function<void(std::uint64_t done_bytes)> on_progress;
  //   out_of_memory_budget  the system refuses
  //   cancelled             soon after cancel(), with the memory given back
  std::move_only_function<void(Result<std::shared_ptr<KvCache>>)> on_done;
};

// The cache with all its memory, brought in on one thread of the pool. Either callback may destroy the
// operation; the memory is then given back on the pool.
[[nodiscard]] loop::OperationPtr allocate_kv_cache(loop::Loop& loop, const gguf::KvPlan& plan,
                                                   KvCacheCallbacks callbacks);

}  // namespace ggufd::model
