#include "gguf/memory_plan.h"

#include <doctest/doctest.h>

#include <array>
#include <numeric>

#include "tests/unit/gguf/model_headers.h"

namespace ggufd::test {
namespace {

using gguf::MemorySettings;

constexpr double bytes_of_a_mib = 1024.0 * 1024.0;

double mib(std::uint64_t bytes) {
  return static_cast<double>(bytes) / bytes_of_a_mib;
}

gguf::KvPlan kv_of(const ModelHeader& model, const MemorySettings& settings) {
  const auto plan = gguf::plan_memory(model.header(), settings);
  REQUIRE_MESSAGE(plan.has_value(), plan.error().message);
  REQUIRE_MESSAGE(plan->kv.has_value(), plan->kv_unknown);
  return *plan->kv;
}

double attention_mib(const ModelHeader& model, const MemorySettings& settings) {
  return mib(kv_of(model, settings).attention_bytes);
}

// The plan's layout of layers and its sums must be the same thing said twice.
void check_layout(const gguf::KvPlan& kv) {
  std::uint64_t attention = 0;
  for (const gguf::LayerKv& layer : kv.layers) {
    attention += (layer.k_row_bytes + layer.v_row_bytes) * layer.cells * layer.streams;
    REQUIRE(layer.k_type != nullptr);
    REQUIRE(layer.v_type != nullptr);
    CHECK(layer.k_row_bytes == gguf::row_bytes(*layer.k_type, layer.heads * layer.k_head_elements));
    CHECK(layer.v_row_bytes == gguf::row_bytes(*layer.v_type, layer.heads * layer.v_head_elements));
    CHECK(layer.cells == (layer.sliding ? kv.swa_cells : kv.cells));
    CHECK(layer.streams == kv.streams);
  }
  std::uint64_t recurrent = 0;
  for (const gguf::LayerState& state : kv.states)
    recurrent += (state.r_row_bytes + state.s_row_bytes) * state.rows;
  CHECK(attention == kv.attention_bytes);
  CHECK(recurrent == kv.recurrent_bytes);
}

}  // namespace

TEST_CASE("full attention takes what llama.cpp logs") {
  CHECK(attention_mib(plain_model("gptneox", {.layers = 24, .heads = 16, .head = 128}), {.n_ctx = 2048}) ==
        384.0);
  CHECK(attention_mib(plain_model("gptneox", {.layers = 24, .heads = 16, .head = 128}), {.n_ctx = 128}) ==
        48.0);
  CHECK(attention_mib(plain_model("qwen2", {.layers = 28, .heads = 4, .head = 128}), {.n_ctx = 2048}) ==
        112.0);
  CHECK(attention_mib(plain_model("llama", {.layers = 40, .heads = 64, .head = 128}), {.n_ctx = 4096}) ==
        5120.0);
  CHECK(attention_mib(plain_model("qwen3moe", {.layers = 48, .heads = 32, .kv_heads = 4, .head = 128}),
                      {.n_ctx = 23552}) == 2208.0);
}

TEST_CASE("Llama-3.1-8B with an f16 and a q8_0 cache") {
  const ModelHeader model = plain_model("llama", {.layers = 32, .heads = 32, .kv_heads = 8, .head = 128});
  CHECK(attention_mib(model, {.n_ctx = 4096}) == 512.0);
  CHECK(attention_mib(model, {.n_ctx = 8192, .type_k = "q8_0", .type_v = "q8_0"}) == 544.0);
  CHECK(attention_mib(model, {.n_ctx = 8192, .type_k = "q8_0"}) == 784.0);
}

TEST_CASE("DeepSeek-R1 caches keys only") {
  const ModelHeader model = deepseek_r1();
  CHECK(attention_mib(model, {.n_ctx = 32768}) == 2196.0);
  const auto quantized = kv_of(model, {.n_ctx = 32768, .type_k = "q8_0", .type_v = "q8_0"});
  CHECK(quantized.attention_bytes == 61ULL * 612 * 32768);  // 1166.62 MiB
  CHECK(quantized.layers.front().v_row_bytes == 0);
  check_layout(quantized);
}

TEST_CASE("gpt-oss-20b with and without a windowed cache") {
  const ModelHeader model = gpt_oss_20b();
  CHECK(attention_mib(model, {.n_ctx = 131072, .swa_full = true}) == 6144.0);
  const auto windowed = kv_of(model, {.n_ctx = 131072});
  CHECK(mib(windowed.attention_bytes) == 3090.0);
  CHECK(windowed.cells == 131072);
  CHECK(windowed.swa_cells == 768);
  check_layout(windowed);
}

TEST_CASE("gemma3-270m with several sequences") {
  const ModelHeader model = gemma3_270m();
  const auto separate = [&](std::uint32_t n_ctx, std::uint32_t n_seq) {
    const auto kv = kv_of(model, {.n_ctx = n_ctx, .n_seq = n_seq, .kv_unified = false});
    check_layout(kv);
    CHECK(kv.streams == n_seq);
    return mib(kv.attention_bytes);
  };
  CHECK(separate(8192, 1) == 39.0);
  CHECK(separate(8192, 2) == 54.0);
  CHECK(separate(8192, 4) == 84.0);
  CHECK(separate(1024, 3) == 27.0);
  CHECK(separate(1024, 4) == 18.0);
  CHECK(attention_mib(model, {.n_ctx = 8192, .n_seq = 1}) == 39.0);
  CHECK(attention_mib(model, {.n_ctx = 8192, .n_seq = 2}) == 46.5);
  CHECK(attention_mib(model, {.n_ctx = 8192, .n_seq = 4}) == 61.5);
}

TEST_CASE("Qwen3.6-27B caches in a quarter of its layers and keeps a state in the others") {
  const ModelHeader model = qwen36_27b();
  const auto kv = kv_of(model, {.n_ctx = 262144, .n_seq = 4});
  CHECK(mib(kv.attention_bytes) == 16384.0);
  CHECK(mib(kv.recurrent_bytes) == 598.5);
  CHECK(kv.layers.size() == 16);
  CHECK(kv.layers.front().layer == 3);
  CHECK(kv.states.size() == 48);
  check_layout(kv);
  CHECK(mib(kv_of(model, {.n_ctx = 262144, .n_seq = 3}).recurrent_bytes) == 448.875);  // 448.88
}

TEST_CASE("compute is at least the logits and the hidden state of a micro-batch") {
  const ModelHeader model =
      plain_model("gptneox", {.layers = 24, .heads = 16, .head = 128, .n_vocab = 50304, .n_embd = 2048});
  const auto plan = gguf::plan_memory(model.header(), {.n_ctx = 2048});
  REQUIRE(plan.has_value());
  CHECK(mib(plan->compute_bytes.value()) == 102.25);
  CHECK(plan->total_bytes == plan->weights_bytes + plan->kv->bytes() + *plan->compute_bytes);
}

TEST_CASE("no batch is longer than the context") {
  const ModelHeader model = plain_model("llama", {.n_ctx = 100, .n_vocab = 1000, .n_embd = 256});
  CHECK(gguf::plan_memory(model.header(), {})->compute_bytes == 4 * 100 * 1256);
  CHECK(gguf::plan_memory(model.header(), {.n_ctx = 300})->compute_bytes == 4 * 300 * 1256);
  CHECK(gguf::plan_memory(model.header(), {.n_ctx = 4096, .n_ubatch = 1024})->compute_bytes ==
        4 * 1024 * 1256);
}

TEST_CASE("a layer's types and heads are told, so that its rows can be looked into") {
  const ModelHeader model = plain_model("llama", {.layers = 1, .heads = 32, .kv_heads = 8, .head = 128});
  const auto kv = kv_of(model, {.n_ctx = 256, .type_k = "q8_0", .type_v = "bf16"});
  check_layout(kv);
  CHECK(kv.layers[0].k_type->name == "q8_0");
  CHECK(kv.layers[0].v_type->name == "bf16");
  CHECK(kv.layers[0].heads == 8);
  CHECK(kv.layers[0].k_head_elements == 128);
  CHECK(kv.layers[0].v_head_elements == 128);
}

TEST_CASE("a planner answers without the header's bytes") {
  ModelHeader model = plain_model("llama", {.n_ctx = 5000});
  model.file.add("general.name", "Two\nlines");
  const auto planner = [&] {
    const auto bytes = model.file.build();
    return gguf::MemoryPlanner(gguf::read(bytes, bytes.size()).header, 1000);
  }();
  CHECK(planner.architecture() == "llama");
  CHECK(planner.name() == "Two\\x0alines");
  CHECK(planner.context_length() == 5000);
  CHECK(planner.plan({})->weights_bytes == 1000);
  CHECK(planner.plan({})->kv->bytes() == gguf::plan_memory(model.header(), {})->kv->bytes());
  CHECK(planner.largest_n_ctx({}, UINT64_MAX) == 4864);
}

TEST_CASE("what a planner does not know is empty") {
  const gguf::MemoryPlanner planner{gguf::Header()};
  CHECK(planner.architecture().empty());
  CHECK(planner.name().empty());
  CHECK(planner.context_length() == 0);
  CHECK(planner.plan({})->kv_unknown == "the file names no architecture");
  CHECK(planner.largest_n_ctx({}, UINT64_MAX) == std::nullopt);
}

TEST_CASE("an unknown architecture has weights and a context length, and no cache") {
  ModelHeader model = plain_model("brand-new", {.n_ctx = 8000});
  model.file.tensor("t", "f32", {8});
  const auto plan = gguf::plan_memory(model.header(), {});
  REQUIRE(plan.has_value());
  CHECK(plan->weights_bytes == 32);
  CHECK(plan->n_ctx == 8192);
  CHECK(!plan->kv.has_value());
}

TEST_CASE("weights that leave 64 bits are refused") {
  ModelHeader model = plain_model("llama", {});
  model.file.tensor("t", "f32", {8});
  CHECK(gguf::plan_memory(model.header(), {}, UINT64_MAX - 31).error().code == ErrorCode::invalid_gguf);
}

TEST_CASE("weights are the tensors of all files") {
  ModelHeader model = plain_model("llama", {});
  model.file.tensor("t", "q8_0", {32, 4});
  CHECK(gguf::plan_memory(model.header(), {})->weights_bytes == 4 * 34);
  CHECK(gguf::plan_memory(model.header(), {}, 1000)->weights_bytes == 4 * 34 + 1000);
}

TEST_CASE("the model's context length is used where none is set, and padded") {
  const ModelHeader model = plain_model("llama", {.n_ctx = 1000});
  CHECK(gguf::plan_memory(model.header(), {})->n_ctx == 1024);
  CHECK(gguf::plan_memory(model.header(), {.n_ctx = 257})->n_ctx == 512);
}

TEST_CASE("settings out of range are refused by name") {
  const ModelHeader model = plain_model("llama", {});
  const auto refused = [&](const MemorySettings& settings) {
    const auto plan = gguf::plan_memory(model.header(), settings);
    return !plan.has_value() && plan.error().code == ErrorCode::bad_field;
  };
  CHECK(refused({.n_seq = 0}));
  CHECK(refused({.n_seq = 257}));
  CHECK(refused({.n_ubatch = 0}));
  CHECK(refused({.type_k = "q4_K"}));
  CHECK(refused({.type_v = ""}));
  CHECK(!refused({.n_seq = 256}));
}

TEST_CASE("a quantized cache needs heads of whole blocks") {
  const ModelHeader model = plain_model("phi2", {.heads = 32, .head = 80});
  CHECK(gguf::plan_memory(model.header(), {}).has_value());
  const auto plan = gguf::plan_memory(model.header(), {.type_v = "q8_0"});
  REQUIRE(!plan.has_value());
  CHECK(plan.error().code == ErrorCode::unsupported_gguf);
  CHECK(plan.error().message.find("80") != std::string::npos);
}

TEST_CASE("sizes that leave 64 bits are refused") {
  const ModelHeader model =
      plain_model("llama", {.layers = 512, .heads = UINT32_MAX, .head = UINT32_MAX, .n_ctx = UINT32_MAX});
  const auto plan = gguf::plan_memory(model.header(), {});
  REQUIRE(!plan.has_value());
  CHECK(plan.error().code == ErrorCode::invalid_gguf);
}

TEST_CASE("the largest context fits and the next one does not") {
  const ModelHeader model =
      plain_model("llama", {.layers = 32, .heads = 32, .kv_heads = 8, .head = 128, .n_ctx = 131072});
  for (const bool unified : {true, false}) {
    for (const std::uint32_t n_seq : {1U, 3U, 4U}) {
      const MemorySettings settings{.n_seq = n_seq, .kv_unified = unified};
      const std::uint64_t budget = 4'000'000'000;
      const auto n_ctx = gguf::largest_n_ctx(model.header(), settings, budget);
      REQUIRE(n_ctx.has_value());
      CHECK(*n_ctx % 256 == 0);
      const auto total = [&](std::uint64_t tokens) {
        MemorySettings tried = settings;
        tried.n_ctx = static_cast<std::uint32_t>(tokens);
        return gguf::plan_memory(model.header(), tried)->total_bytes.value();
      };
      CHECK(total(*n_ctx) <= budget);
      CHECK(total(*n_ctx + 256) > budget);
    }
  }
}

TEST_CASE("the largest context is bounded by the model and by what is known") {
  const ModelHeader model = plain_model("llama", {.n_ctx = 5000});
  CHECK(gguf::largest_n_ctx(model.header(), {}, UINT64_MAX) == 4864);
  CHECK(gguf::largest_n_ctx(model.header(), {}, 1000) == 0);
  CHECK(gguf::largest_n_ctx(plain_model("llama", {.n_ctx = 100}).header(), {}, UINT64_MAX) == 256);
  CHECK(gguf::largest_n_ctx(plain_model("brand-new", {}).header(), {}, UINT64_MAX) == std::nullopt);
  CHECK(gguf::largest_n_ctx(model.header(), {.n_seq = 0}, UINT64_MAX) == std::nullopt);
}

}  // namespace ggufd::test
