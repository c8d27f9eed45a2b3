// The KV cache's arena: what lies where, and how it is brought into memory.
#include "model/kv_cache.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;

gguf::LayerKv layer_kv(std::uint32_t layer, const char* type, std::uint32_t heads, std::uint32_t k_head,
                       std::uint32_t v_head, std::uint64_t cells, std::uint32_t streams) {
  const gguf::TensorType* of = gguf::cache_type(type);
  const auto row = [&](std::uint32_t head) {
    return gguf::row_bytes(*of, std::uint64_t{heads} * head).value();
  };
  return {.layer = layer,
          .k_type = of,
          .v_type = of,
          .heads = heads,
          .k_head_elements = k_head,
          .v_head_elements = v_head,
          .k_row_bytes = row(k_head),
          .v_row_bytes = row(v_head),
          .cells = cells,
          .streams = streams};
}

gguf::KvPlan plan_of(std::vector<gguf::LayerKv> layers, std::vector<gguf::LayerState> states) {
  gguf::KvPlan plan{.layers = std::move(layers), .states = std::move(states)};
  for (const auto& layer : plan.layers)
    plan.attention_bytes += (layer.k_row_bytes + layer.v_row_bytes) * layer.cells * layer.streams;
  for (const auto& state : plan.states)
    plan.recurrent_bytes += (state.r_row_bytes + state.s_row_bytes) * state.rows;
  return plan;
}

// Something of everything: types, a layer with fewer cells, one without V, streams, states.
gguf::KvPlan mixed_plan() {
  return plan_of({layer_kv(0, "f16", 4, 64, 32, 512, 3), layer_kv(2, "q8_0", 2, 64, 64, 256, 3),
                  layer_kv(3, "q4_0", 1, 576, 0, 512, 3)},
                 {{.layer = 1, .r_row_bytes = 12, .s_row_bytes = 4096, .rows = 3},
                  {.layer = 4, .r_row_bytes = 8, .s_row_bytes = 0, .rows = 3}});
}

// Every view, in the order that the header promises.
std::vector<std::span<std::byte>> all_parts(const KvCache& cache) {
  std::vector<std::span<std::byte>> parts;
  for (std::size_t i = 0; i < cache.plan().layers.size(); ++i) {
    const std::uint32_t streams = cache.plan().layers[i].streams;
    for (std::uint32_t stream = 0; stream < streams; ++stream) parts.push_back(cache.k(i, stream).bytes);
    for (std::uint32_t stream = 0; stream < streams; ++stream) parts.push_back(cache.v(i, stream).bytes);
  }
  for (std::size_t i = 0; i < cache.plan().states.size(); ++i) {
    const std::uint32_t rows = cache.plan().states[i].rows;
    for (std::uint32_t row = 0; row < rows; ++row)
      parts.push_back(std::as_writable_bytes(cache.state(i, row).r));
    for (std::uint32_t row = 0; row < rows; ++row)
      parts.push_back(std::as_writable_bytes(cache.state(i, row).s));
  }
  return parts;
}

void check_that_views_cover(const KvCache& cache) {
  const std::byte* end = cache.region().bytes().data();
  for (const auto& part : all_parts(cache)) {
    CHECK(part.data() == end);
    end = part.data() + part.size();
  }
  CHECK(end == cache.region().bytes().data() + cache.size_bytes());
}

TEST_CASE("the views lie in the promised order, without a gap, and cover exactly the plan's bytes") {
  const gguf::KvPlan plan = mixed_plan();
  const auto cache = KvCache::reserve(plan);
  REQUIRE(cache);
  CHECK((*cache)->size_bytes() == plan.bytes());
  check_that_views_cover(**cache);
}

TEST_CASE("a real model's plan is laid out to the byte") {
  const std::string file = small_gguf();
  const auto header = gguf::read_model(std::as_bytes(std::span(file)), file.size());
  REQUIRE(header);
  const auto plan =
      gguf::plan_memory(*header, {.n_ctx = 700, .n_seq = 2, .kv_unified = false, .type_k = "q8_0"});
  REQUIRE(plan);
  REQUIRE(plan->kv);
  const auto cache = KvCache::reserve(*plan->kv);
  REQUIRE(cache);
  CHECK((*cache)->size_bytes() == plan->kv->bytes());
  check_that_views_cover(**cache);
}

TEST_CASE("a view tells its type and shape, and its rows are the cells") {
  const auto cache = KvCache::reserve(mixed_plan());
  REQUIRE(cache);
  const CacheView k = (*cache)->k(1, 2);
  CHECK(k.type->name == "q8_0");
  CHECK(k.heads == 2);
  CHECK(k.head_elements == 64);
  CHECK(k.cells == 256);
  CHECK(k.row_bytes == 136);
  CHECK(k.bytes.size() == 256 * 136);
  CHECK(k.row(0).data() == k.bytes.data());
  CHECK(k.row(255).data() + 136 == k.bytes.data() + k.bytes.size());
  const CacheView v = (*cache)->v(0, 1);
  CHECK(v.head_elements == 32);
  CHECK(v.row_bytes == 256);
  CHECK((*cache)->v(2, 0).bytes.empty());
  CHECK((*cache)->state(0, 1).r.size() == 3);
  CHECK((*cache)->state(0, 1).s.size() == 1024);
}

TEST_CASE("every K and V begins at a multiple of 256 bytes, the arena at a huge page") {
  const auto cache = KvCache::reserve(mixed_plan());
  REQUIRE(cache);
  const auto address = [](std::span<std::byte> bytes) {
    return reinterpret_cast<std::uintptr_t>(bytes.data());
  };
  CHECK(address((*cache)->region().bytes()) % huge_page_bytes == 0);
  for (std::size_t layer = 0; layer < 3; ++layer) {
    for (std::uint32_t stream = 0; stream < 3; ++stream) {
      CHECK(address((*cache)->k(layer, stream).bytes) % 256 == 0);
      CHECK(address((*cache)->v(layer, stream).bytes) % 256 == 0);
    }
  }
}

TEST_CASE("a plan whose parts are not its sum is refused") {
  gguf::KvPlan plan = mixed_plan();
  plan.attention_bytes += 256;
  const auto cache = KvCache::reserve(plan);
  REQUIRE_FALSE(cache);
  CHECK(cache.error().code == ErrorCode::internal);
}

// An allocation and all that it says.
struct Run {
  explicit Run(const gguf::KvPlan& plan) {
    operation = allocate_kv_cache(loop, plan,
                                  {.on_progress =
                                       [this](std::uint64_t bytes) {
                                         CHECK(ends == 0);
                                         progress.push_back(bytes);
                                         at_progress();
                                       },
                                   .on_done =
                                       [this](Result<std::shared_ptr<KvCache>> result) {
                                         ++ends;
                                         end.emplace(std::move(result));
                                         operation.reset();
                                       }});
  }
  void wait() {
    REQUIRE(run_until(loop, [this] { return ends > 0; }));
  }
  std::optional<ErrorCode> error() const {
    return end && !*end ? std::optional<ErrorCode>(end->error().code) : std::nullopt;
  }

  loop::Loop loop;
  std::vector<std::uint64_t> progress;
  std::function<void()> at_progress = [] {};
  int ends = 0;
  std::optional<Result<std::shared_ptr<KvCache>>> end;
  loop::OperationPtr operation;
};

// 300 MiB and a bit: more than one job brings.
gguf::KvPlan large_plan() {
  return plan_of({layer_kv(0, "f16", 8, 128, 128, 76'800, 1)}, {{.layer = 1, .r_row_bytes = 4, .rows = 1}});
}

TEST_CASE("an allocated cache is all in memory, and zero") {
  const gguf::KvPlan plan = large_plan();
  Run run(plan);
  run.wait();
  REQUIRE(run.end->has_value());
  const KvCache& cache = ***run.end;
  CHECK(cache.size_bytes() == plan.bytes());
  CHECK(resident_bytes(cache.region(), 0, cache.size_bytes()) == plan.bytes());
  CHECK(std::ranges::is_sorted(run.progress, std::ranges::less_equal()));
  CHECK(run.progress.size() > 1);
  CHECK(run.progress.back() == plan.bytes());
  const CacheView v = cache.v(0, 0);
  CHECK(std::ranges::all_of(v.row(76'799), [](std::byte byte) { return byte == std::byte{0}; }));
  CHECK(cache.state(0, 0).r[0] == 0.0F);
}

TEST_CASE("a model without a cache gets an empty one") {
  Run run(plan_of({}, {}));
  run.wait();
  REQUIRE(run.end->has_value());
  CHECK((**run.end)->size_bytes() == 0);
}

TEST_CASE("a cache that the system refuses is out_of_memory_budget") {
  Run run(plan_of({layer_kv(0, "f16", 8, 128, 128, std::uint64_t{1} << 50U, 1)}, {}));
  run.wait();
  CHECK(run.error() == ErrorCode::out_of_memory_budget);
  CHECK(run.progress.empty());
}

TEST_CASE("cancelling ends it with cancelled, once") {
  Run at_once(large_plan());
  at_once.operation->cancel();
  CHECK(at_once.ends == 0);
  at_once.wait();
  CHECK(at_once.error() == ErrorCode::cancelled);

  Run later(large_plan());
  later.at_progress = [&later] { later.operation->cancel(); };
  later.wait();
  CHECK(later.error() == ErrorCode::cancelled);
  CHECK(later.progress.size() == 1);
  later.loop.run();
  CHECK(later.ends == 1);
}

TEST_CASE("destroying it drops the callbacks, from its progress, too") {
  Run begun(large_plan());
  begun.operation.reset();
  begun.loop.run();
  CHECK(begun.ends == 0);

  Run halfway(large_plan());
  halfway.at_progress = [&halfway] { halfway.operation.reset(); };
  REQUIRE(run_until(halfway.loop, [&halfway] { return !halfway.operation; }));
  halfway.loop.run();
  CHECK(halfway.progress.size() == 1);
  CHECK(halfway.ends == 0);
}

}  // namespace
}  // namespace ggufd::model
