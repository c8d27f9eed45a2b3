#include "model/kv_cache.h"

#include <fmt/core.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <utility>

#include "loop/offload.h"

namespace ggufd::model {
namespace {

using Clock = std::chrono::steady_clock;

// Between two looks at whether it is still wanted; while the kernel clears a step's pages nobody else can
// change the process's mappings.
constexpr std::uint64_t clear_step_bytes = 2 * huge_page_bytes;
// One job ends with the first of these: progress is told, others have their turn at the pool.
constexpr std::uint64_t clear_job_bytes = std::uint64_t{256} << 20U;
constexpr auto clear_job_time = std::chrono::milliseconds(50);

CacheView view_of(const gguf::LayerKv& layer, const gguf::TensorType* type, std::uint32_t head_elements,
                  std::uint64_t row_bytes, std::span<std::byte> part, std::uint32_t stream) {
  const std::uint64_t stream_bytes = row_bytes * layer.cells;
  return {.type = type,
          .heads = layer.heads,
          .head_elements = head_elements,
          .cells = layer.cells,
          .row_bytes = row_bytes,
          .bytes = part.subspan(stream * stream_bytes, stream_bytes)};
}

std::span<float> floats_of(std::span<std::byte> bytes) {
  assert(bytes.size() % sizeof(float) == 0);
  return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
}

}  // namespace

Result<std::shared_ptr<KvCache>> KvCache::reserve(const gguf::KvPlan& plan) {
  auto region = plan.bytes() == 0 ? MemoryRegion() : map_anonymous(plan.bytes());
  if (!region) return std::unexpected(region.error());
  std::shared_ptr<KvCache> cache(new KvCache(plan, std::move(*region)));
  const std::uint64_t laid_out = cache->lay_out();
  if (laid_out == plan.bytes()) return cache;
  return fail(ErrorCode::internal, fmt::format("the KV cache's layers take {} bytes and its plan says {}",
                                               laid_out, plan.bytes()));
}

std::uint64_t KvCache::lay_out() {
  std::uint64_t end = 0;
  const auto place = [&end](std::uint64_t bytes) { return std::exchange(end, end + bytes); };
  for (const gguf::LayerKv& layer : plan_.layers) {
    const std::uint64_t rows = layer.cells * layer.streams;
    const std::uint64_t k = place(layer.k_row_bytes * rows);
    layers_.push_back({.first = k, .second = place(layer.v_row_bytes * rows)});
  }
  for (const gguf::LayerState& state : plan_.states) {
    const std::uint64_t r = place(state.r_row_bytes * state.rows);
    states_.push_back({.first = r, .second = place(state.s_row_bytes * state.rows)});
  }
  return end;
}

CacheView KvCache::k(std::size_t layer, std::uint32_t stream) const {
  const gguf::LayerKv& of = plan_.layers.at(layer);
  assert(stream < of.streams);
  return view_of(of, of.k_type, of.k_head_elements, of.k_row_bytes,
                 region_.bytes().subspan(layers_.at(layer).first), stream);
}

CacheView KvCache::v(std::size_t layer, std::uint32_t stream) const {
  const gguf::LayerKv& of = plan_.layers.at(layer);
  assert(stream < of.streams);
  return view_of(of, of.v_type, of.v_head_elements, of.v_row_bytes,
                 region_.bytes().subspan(layers_.at(layer).second), stream);
}

StateView KvCache::state(std::size_t state, std::uint32_t row) const {
  const gguf::LayerState& of = plan_.states.at(state);
  assert(row < of.rows);
  const Offsets& begin = states_.at(state);
  return {.r = floats_of(region_.bytes().subspan(begin.first + row * of.r_row_bytes, of.r_row_bytes)),
          .s = floats_of(region_.bytes().subspan(begin.second + row * of.s_row_bytes, of.s_row_bytes))};
}

namespace {

// From `offset` on, as much as one job may take: the number of bytes.
Result<std::uint64_t> populate(const MemoryRegion& region, std::uint64_t offset, loop::CancelToken token) {
  const auto deadline = Clock::now() + clear_job_time;
  const std::uint64_t wanted = std::min(clear_job_bytes, region.size_bytes() - offset);
  std::uint64_t done = 0;
  while (done < wanted && !token.is_cancelled() && (done == 0 || Clock::now() < deadline)) {
    const std::uint64_t step = std::min(clear_step_bytes, wanted - done);
    if (auto populated = populate_for_writing(region, offset + done, step); !populated)
      return std::unexpected(populated.error());
    done += step;
  }
  return done;
}

class Allocation final : public loop::Operation {
 public:
  Allocation(loop::Loop& loop, const gguf::KvPlan& plan, KvCacheCallbacks callbacks)
      : loop_(loop), callbacks_(std::move(callbacks)) {
    work_ = loop::offload<std::shared_ptr<KvCache>>(
        loop_, [plan](loop::CancelToken) { return KvCache::reserve(plan); },
        [this](Result<std::shared_ptr<KvCache>> cache) {
          if (!cache) return finish(std::move(cache.error()));
          cache_ = std::move(*cache);
          next_job();
        });
  }
  ~Allocation() override {
    if (cache_) loop::offload_detached(loop_, [cache = std::move(cache_)]() mutable { cache.reset(); });
  }

  void cancel() override {
    is_cancelled_ = true;
    if (work_) work_->cancel();
  }

 private:
  void next_job() {
    work_ = loop::offload<std::uint64_t>(
        loop_,
        [cache = cache_, offset = done_bytes_](loop::CancelToken token) mutable {
          auto done = populate(cache->region(), offset, token);
          cache.reset();  // the last holder unmaps, here rather than on the loop
          return done;
        },
        [this](Result<std::uint64_t> done) {
          if (!done) return give_back(std::move(done.error()));
          done_bytes_ += *done;
          job_done();
        });
  }

  void job_done() {
    if (!report()) return;
    if (is_cancelled_) return give_back({ErrorCode::cancelled, "allocating the KV cache was cancelled"});
    if (done_bytes_ < cache_->size_bytes()) return next_job();
    work_.reset();
    auto on_done = std::move(callbacks_.on_done);
    on_done(std::move(cache_));  // may destroy this
  }

  // False where on_progress has destroyed this operation.
  bool report() {
    const std::weak_ptr<int> alive = alive_;
    auto on_progress = std::move(callbacks_.on_progress);
    on_progress(done_bytes_);
    if (alive.expired()) return false;
    callbacks_.on_progress = std::move(on_progress);
    return true;
  }

  void give_back(Error error) {
    work_.reset();
    giving_back_ = loop::offload<void>(
        loop_,
        [cache = std::move(cache_)](loop::CancelToken) mutable {
          cache.reset();
          return Result<void>();
        },
        [this, error = std::move(error)](const Result<void>&) mutable { finish(std::move(error)); });
  }

  void finish(Error error) {
    auto on_done = std::move(callbacks_.on_done);
    on_done(std::unexpected(std::move(error)));  // may destroy this
  }

  loop::Loop& loop_;
  KvCacheCallbacks callbacks_;
  std::shared_ptr<KvCache> cache_;
  std::uint64_t done_bytes_ = 0;
  bool is_cancelled_ = false;
  loop::OperationPtr work_;
  loop::OperationPtr giving_back_;  // is not cancelled
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace

loop::OperationPtr allocate_kv_cache(loop::Loop& loop, const gguf::KvPlan& plan, KvCacheCallbacks callbacks) {
  return std::make_unique<Allocation>(loop, plan, std::move(callbacks));
}

}  // namespace ggufd::model
