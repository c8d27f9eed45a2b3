#include "gguf/model_shape.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "gguf/memory_plan.h"
#include "tests/unit/gguf/model_headers.h"

namespace ggufd::test {
namespace {

using U32s = std::vector<std::uint32_t>;

// The layers that have a window, by number; nothing where the shape is unknown.
std::optional<U32s> sliding(const ModelHeader& model) {
  const auto shape = gguf::model_shape(model.header());
  if (!shape) return std::nullopt;
  U32s layers;
  for (const gguf::LayerShape& layer : shape->layers) {
    if (layer.sliding) layers.push_back(layer.layer);
  }
  return layers;
}

std::string reason(const ModelHeader& model) {
  const auto plan = gguf::plan_memory(model.header(), {.n_ctx = 1024});
  REQUIRE(plan.has_value());
  CHECK(!plan->kv.has_value());
  CHECK(!plan->total_bytes.has_value());
  CHECK(gguf::model_shape(model.header()).error() == plan->kv_unknown);
  return plan->kv_unknown;
}

ModelHeader windowed(std::string_view architecture, std::uint32_t layers, std::uint32_t tokens = 512) {
  ModelHeader model = plain_model(architecture, {.layers = layers});
  model.set("attention.sliding_window", tokens);
  return model;
}

gguf::LayerShape first_layer(const ModelHeader& model) {
  const auto shape = gguf::model_shape(model.header());
  REQUIRE_MESSAGE(shape.has_value(), shape.error());
  REQUIRE(!shape->layers.empty());
  return shape->layers.front();
}

}  // namespace

TEST_CASE("every architecture has its own default pattern of windows") {
  CHECK(sliding(windowed("gemma2", 5)) == U32s{0, 2, 4});
  CHECK(sliding(windowed("gemma3", 7)) == U32s{0, 1, 2, 3, 4, 6});
  CHECK(sliding(windowed("gemma3n", 6)) == U32s{0, 1, 2, 3, 5});
  CHECK(sliding(windowed("gpt-oss", 4)) == U32s{0, 2});
  CHECK(sliding(windowed("llama4", 5)) == U32s{0, 1, 2, 4});
  CHECK(sliding(windowed("cohere2", 5)) == U32s{0, 1, 2, 4});
  CHECK(sliding(windowed("olmo2", 5)) == U32s{0, 1, 2, 4});
  CHECK(sliding(windowed("smallthinker", 5)) == U32s{1, 2, 3});
  CHECK(sliding(windowed("exaone4", 64)).value().size() == 48);
  CHECK(sliding(windowed("exaone-moe", 5)) == U32s{0, 1, 2, 4});
  CHECK(sliding(windowed("afmoe", 5)) == U32s{0, 1, 2, 4});
  CHECK(sliding(windowed("plamo3", 9)) == U32s{0, 1, 2, 3, 4, 5, 6, 8});
}

TEST_CASE("a window that is off, or that the engine ignores, is none") {
  CHECK(sliding(windowed("phi3", 4)) == U32s{});
  CHECK(sliding(windowed("llama", 4)) == U32s{});
  CHECK(sliding(windowed("llama4", 4, 0)) == U32s{});
  CHECK(sliding(windowed("exaone4", 30)) == U32s{});
  CHECK(sliding(plain_model("olmo2", {})) == U32s{});
  CHECK(sliding(plain_model("gemma3", {})) == U32s{});
  CHECK(sliding(windowed("gemma3", 4, 0)) == U32s{});
  CHECK(sliding(windowed("smallthinker", 4, 0)) == U32s{});
}

TEST_CASE("a window of 0 where there must be one leaves the shape unknown") {
  CHECK(sliding(windowed("gemma2", 4, 0)) == std::nullopt);
  CHECK(sliding(windowed("gpt-oss", 4, 0)) == std::nullopt);
}

TEST_CASE("windows have default and fixed lengths") {
  CHECK(gguf::model_shape(plain_model("gemma2", {}).header())->window_tokens == 4096);
  CHECK(gguf::model_shape(plain_model("llama4", {}).header())->window_tokens == 8192);
  CHECK(gguf::model_shape(windowed("llama4", 4, 100).header())->window_tokens == 8192);
  CHECK(gguf::model_shape(windowed("gemma3", 4, 100).header())->window_tokens == 100);
  CHECK(gguf::model_shape(windowed("smallthinker", 4, 9000).header())->window_tokens == 4096);
  CHECK(gguf::model_shape(plain_model("exaone4", {.layers = 64}).header())->window_tokens == 4096);
}

TEST_CASE("the file's own pattern wins") {
  ModelHeader period = windowed("gemma3", 4);
  period.set("attention.sliding_window_pattern", std::uint32_t{2});
  CHECK(sliding(period) == U32s{0, 2});
  ModelHeader all = windowed("gemma3", 3);
  all.set("attention.sliding_window_pattern", std::uint32_t{0});
  CHECK(sliding(all) == U32s{0, 1, 2});
  ModelHeader none = windowed("gemma3", 3);
  none.set("attention.sliding_window_pattern", std::uint32_t{1});
  CHECK(sliding(none) == U32s{});
}

TEST_CASE("an array says which layers have a window where the engine reads one") {
  const auto with_flags = [](std::string_view architecture) {
    ModelHeader model = windowed(architecture, 3);
    model.file.add_array<bool>(std::string(architecture) + ".attention.sliding_window_pattern",
                               {true, false, true});
    return model;
  };
  for (const char* reads : {"gemma4", "mimo2", "step35", "mellum", "cohere2moe"}) {
    CAPTURE(reads);
    CHECK(sliding(with_flags(reads)) == U32s{0, 2});
  }
  CHECK(sliding(with_flags("gemma3")) == U32s{0, 1, 2});  // passed over: the default period is 6
}

TEST_CASE("a number means a period, or all layers where flags are expected") {
  const auto with_number = [](std::string_view architecture, std::uint32_t number) {
    ModelHeader model = windowed(architecture, 5);
    model.set("attention.sliding_window_pattern", number);
    return sliding(model);
  };
  CHECK(with_number("gemma4", 4) == U32s{0, 1, 2, 3, 4});
  CHECK(with_number("mimo2", 0) == U32s{});
  CHECK(with_number("mellum", 4) == U32s{0, 1, 2, 4});
  CHECK(with_number("cohere2moe", 4) == U32s{1, 2, 3});
}

TEST_CASE("windowed layers may have heads of their own length") {
  ModelHeader model = windowed("gemma4", 2);
  model.file.add_array<bool>("gemma4.attention.sliding_window_pattern", {true, false});
  model.set("attention.key_length_swa", std::uint32_t{32})
      .set("attention.value_length_swa", std::uint32_t{16});
  const auto shape = gguf::model_shape(model.header());
  REQUIRE(shape.has_value());
  CHECK(shape->layers[0].k_elements == 4 * 32);
  CHECK(shape->layers[0].v_elements == 4 * 16);
  CHECK(shape->layers[1].k_elements == 4 * 64);
}

TEST_CASE("layers that share another's cache own none") {
  CHECK(gguf::model_shape(windowed("gemma3n", 30).header())->layers.size() == 20);
  ModelHeader shared = windowed("gemma4", 3);
  shared.file.add_array<bool>("gemma4.attention.sliding_window_pattern", {true, false, true});
  shared.set("attention.shared_kv_layers", std::uint32_t{1});
  CHECK(gguf::model_shape(shared.header())->layers.size() == 2);
}

TEST_CASE("layers that predict ahead are cached as the engine does it, or not known") {
  const auto with_ahead = [](std::string_view architecture) {
    ModelHeader model = plain_model(architecture, {.layers = 47});
    return model.set("nextn_predict_layers", std::uint32_t{1});
  };
  CHECK(gguf::model_shape(with_ahead("glm4moe").header())->layers.size() == 46);
  CHECK(gguf::model_shape(with_ahead("qwen3").header())->layers.size() == 47);  // the key is not read
  CHECK(reason(with_ahead("bailingmoe2")).find("release") != std::string::npos);
  CHECK(gguf::model_shape(plain_model("bailingmoe2", {.layers = 47}).header())->layers.size() == 47);
}

TEST_CASE("keys are latent only where the architecture and both of its keys say so") {
  const auto with_keys = [](std::string_view architecture, std::uint32_t key, std::uint32_t value) {
    ModelHeader model = plain_model(architecture, {});
    return model.set("attention.key_length_mla", key).set("attention.value_length_mla", value);
  };
  CHECK(first_layer(with_keys("deepseek2", 192, 128)).v_elements == 0);
  CHECK(first_layer(with_keys("deepseek2", 192, 128)).v_head_elements == 0);
  CHECK(first_layer(with_keys("mistral4", 192, 128)).v_elements == 0);
  CHECK(first_layer(with_keys("deepseek2", 0, 0)).v_elements == 256);
  CHECK(first_layer(with_keys("llama", 192, 128)).v_elements == 256);
  CHECK(reason(with_keys("deepseek2", 192, 0)).find("value_length_mla") != std::string::npos);
}

TEST_CASE("heads may differ from layer to layer") {
  ModelHeader model("deci");
  model.set("block_count", std::uint32_t{3}).set("embedding_length", std::uint32_t{256});
  model.set_array<std::uint32_t>("attention.head_count", {4, 0, 4});
  model.set_array<std::int32_t>("attention.head_count_kv", {2, 0, 4});
  const auto shape = gguf::model_shape(model.header());
  REQUIRE(shape.has_value());
  REQUIRE(shape->layers.size() == 2);  // the one without heads remembers nothing
  CHECK(shape->layers[0].k_elements == 2 * 64);
  CHECK(shape->layers[1].layer == 2);
  CHECK(shape->layers[1].v_elements == 4 * 64);
}

TEST_CASE("mamba keeps a state and caches nothing") {
  ModelHeader model("mamba");
  model.set("block_count", std::uint32_t{24}).set("context_length", std::uint32_t{1 << 20});
  model.set("embedding_length", std::uint32_t{768}).set("vocab_size", std::uint32_t{50280});
  model.set("attention.head_count", std::uint32_t{0}).set("ssm.conv_kernel", std::uint32_t{4});
  model.set("ssm.inner_size", std::uint32_t{1536}).set("ssm.state_size", std::uint32_t{16});
  const auto plan = gguf::plan_memory(model.header(), {.n_ctx = 4096, .n_seq = 2});
  REQUIRE(plan.has_value());
  REQUIRE_MESSAGE(plan->kv.has_value(), plan->kv_unknown);
  CHECK(plan->kv->attention_bytes == 0);
  CHECK(plan->kv->cells == 0);
  CHECK(plan->kv->recurrent_bytes == 24ULL * 2 * 4 * (3 * 1536 + 16 * 1536));
}

TEST_CASE("mamba2 counts its groups, mamba does not") {
  for (const auto& [name, r] : {std::pair("mamba", 3U * 100), std::pair("mamba2", 3U * (100 + 2 * 8 * 16))}) {
    ModelHeader model(name);
    model.set("block_count", std::uint32_t{1}).set("ssm.conv_kernel", std::uint32_t{4});
    model.set("ssm.inner_size", std::uint32_t{100}).set("ssm.state_size", std::uint32_t{16});
    model.set("ssm.group_count", std::uint32_t{8});
    CHECK(first_layer(model).r_elements == r);
    CHECK(first_layer(model).s_elements == 1600);
  }
}

TEST_CASE("rwkv keeps shifted tokens and its matrix state") {
  ModelHeader model("rwkv7");
  model.set("block_count", std::uint32_t{12}).set("embedding_length", std::uint32_t{768});
  model.set("wkv.head_size", std::uint32_t{64});
  CHECK(first_layer(model).r_elements == 2 * 768);
  CHECK(first_layer(model).s_elements == 768 * 64);
  model.set("token_shift_count", std::uint32_t{1});
  CHECK(first_layer(model).r_elements == 768);
}

TEST_CASE("lfm2 with a window has it in every layer that attends, lfm2moe never") {
  for (const auto& [name, windowed_layer] : {std::pair("lfm2", true), std::pair("lfm2moe", false)}) {
    ModelHeader model(name);
    model.set("block_count", std::uint32_t{3}).set("embedding_length", std::uint32_t{2048});
    model.set("attention.head_count", std::uint32_t{32}).set("shortconv.l_cache", std::uint32_t{3});
    model.set_array<std::uint32_t>("attention.head_count_kv", {0, 8, 0});
    model.set("attention.sliding_window", std::uint32_t{512});
    const auto shape = gguf::model_shape(model.header());
    REQUIRE_MESSAGE(shape.has_value(), shape.error());
    CHECK(shape->layers[1].sliding == windowed_layer);
    CHECK(shape->layers[1].k_elements == 8 * 64);
  }
}

TEST_CASE("hybrids tell their layers apart by heads") {
  ModelHeader model("lfm2");
  model.set("block_count", std::uint32_t{3}).set("embedding_length", std::uint32_t{2048});
  model.set("attention.head_count", std::uint32_t{32}).set("shortconv.l_cache", std::uint32_t{3});
  model.set_array<std::uint32_t>("attention.head_count_kv", {0, 8, 0});
  const auto shape = gguf::model_shape(model.header());
  REQUIRE(shape.has_value());
  CHECK(shape->layers[0].r_elements == 2048 * 2);
  CHECK(shape->layers[0].k_elements == 0);
  CHECK(shape->layers[1].r_elements == 0);
  CHECK(shape->layers[1].k_elements == 8 * 64);
}

TEST_CASE("nemotron_h remembers in layers without feed-forward only") {
  for (const char* name : {"nemotron_h", "nemotron_h_moe"}) {
    ModelHeader model(name);
    model.set("block_count", std::uint32_t{4}).set("embedding_length", std::uint32_t{128});
    model.set("attention.head_count", std::uint32_t{2}).set("ssm.conv_kernel", std::uint32_t{4});
    model.set("ssm.inner_size", std::uint32_t{64}).set("ssm.state_size", std::uint32_t{16});
    model.set("ssm.group_count", std::uint32_t{1});
    model.set_array<std::uint32_t>("attention.head_count_kv", {0, 2, 0, 2});
    model.set_array<std::uint32_t>("feed_forward_length", {0, 0, 512, 512});
    const auto shape = gguf::model_shape(model.header());
    REQUIRE_MESSAGE(shape.has_value(), shape.error());
    REQUIRE(shape->layers.size() == 2);
    CHECK(shape->layers[0].s_elements == 16 * 64);
    CHECK(shape->layers[0].k_elements == 0);
    CHECK(shape->layers[1].k_elements == 2 * 64);
    CHECK(shape->layers[1].s_elements == 0);
  }
}

TEST_CASE("qwen3next's recurrent layers are listed, or all but every fourth") {
  ModelHeader model = plain_model("qwen3next", {.layers = 8});
  model.set("ssm.conv_kernel", std::uint32_t{4}).set("ssm.inner_size", std::uint32_t{64});
  model.set("ssm.state_size", std::uint32_t{16}).set("ssm.group_count", std::uint32_t{2});
  const auto attending = [&] {
    const auto shape = gguf::model_shape(model.header());
    REQUIRE_MESSAGE(shape.has_value(), shape.error());
    U32s layers;
    for (const gguf::LayerShape& layer : shape->layers) {
      if (layer.k_elements > 0) layers.push_back(layer.layer);
    }
    return layers;
  };
  CHECK(attending() == U32s{3, 7});
  CHECK(first_layer(model).r_elements == 3 * (64 + 2 * 2 * 16));
  model.file.add_array<bool>("qwen3next.attention.recurrent_layers",
                             {false, true, true, true, true, true, true, true});
  CHECK(attending() == U32s{0});
}

TEST_CASE("granitehybrid, jamba and plamo2 keep a state where a layer has no heads") {
  for (const auto& [name, groups] :
       {std::pair("granitehybrid", 2U), std::pair("plamo2", 2U), std::pair("jamba", 0U)}) {
    CAPTURE(name);
    ModelHeader model(name);
    model.set("block_count", std::uint32_t{2}).set("embedding_length", std::uint32_t{128});
    model.set("attention.head_count", std::uint32_t{2}).set("ssm.conv_kernel", std::uint32_t{4});
    model.set("ssm.inner_size", std::uint32_t{64}).set("ssm.state_size", std::uint32_t{16});
    model.set("ssm.group_count", std::uint32_t{2});
    model.set_array<std::uint32_t>("attention.head_count_kv", {0, 2});
    CHECK(first_layer(model).r_elements == 3 * (64 + 2 * groups * 16));
    CHECK(first_layer(model).k_elements == 0);
    CHECK(gguf::model_shape(model.header())->layers[1].k_elements == 128);
  }
}

TEST_CASE("a state whose groups are not told is unknown") {
  ModelHeader model("mamba2");
  model.set("block_count", std::uint32_t{1}).set("ssm.conv_kernel", std::uint32_t{4});
  model.set("ssm.inner_size", std::uint32_t{64}).set("ssm.state_size", std::uint32_t{16});
  CHECK(reason(model) == "key mamba2.ssm.group_count is missing");
}

TEST_CASE("falcon-h1 does both in every layer") {
  ModelHeader model = plain_model("falcon-h1", {.layers = 2});
  model.set("ssm.conv_kernel", std::uint32_t{4}).set("ssm.inner_size", std::uint32_t{64});
  model.set("ssm.state_size", std::uint32_t{16}).set("ssm.group_count", std::uint32_t{1});
  CHECK(first_layer(model).k_elements == 256);
  CHECK(first_layer(model).s_elements == 1024);
}

TEST_CASE("encoders need no cache, and that is known") {
  ModelHeader model("bert");
  model.set("block_count", std::uint32_t{12}).set("embedding_length", std::uint32_t{384});
  model.set("context_length", std::uint32_t{512}).set("vocab_size", std::uint32_t{30522});
  const auto plan = gguf::plan_memory(model.header(), {});
  REQUIRE(plan.has_value());
  REQUIRE(plan->kv.has_value());
  CHECK(plan->kv->bytes() == 0);
  CHECK(plan->total_bytes.has_value());
}

TEST_CASE("what the file does not say is unknown, with the reason") {
  CHECK(reason(ModelHeader("brand-new")) == "the memory of architecture brand-new is not known here");
  CHECK(reason(ModelHeader("llama")) == "key llama.block_count is missing");
  CHECK(reason(ModelHeader("")).find("no architecture") != std::string::npos);
  CHECK(reason(plain_model("cohere2", {})).find("sliding_window") != std::string::npos);
  CHECK(reason(windowed("gemma4", 2)).find("sliding_window_pattern") != std::string::npos);
  CHECK(reason(plain_model("llama", {.layers = 513})).find("513") != std::string::npos);
  CHECK(reason(plain_model("llama", {.heads = 4, .head = 0})).find("keys and values") != std::string::npos);
  ModelHeader no_sliding_keys = windowed("gemma3", 2);
  no_sliding_keys.set("attention.key_length_swa", std::uint32_t{0});
  CHECK(reason(no_sliding_keys).find("keys and values") != std::string::npos);
  ModelHeader no_heads("llama");
  no_heads.set("block_count", std::uint32_t{1}).set("embedding_length", std::uint32_t{64});
  CHECK(reason(no_heads).find("heads") != std::string::npos);
  ModelHeader zero_heads = no_heads;
  zero_heads.set("attention.head_count", std::uint32_t{0});
  CHECK(reason(zero_heads).find("keys and values") != std::string::npos);
}

TEST_CASE("arrays that are too short or of the wrong kind make the shape unknown") {
  ModelHeader few("llama");
  few.set("block_count", std::uint32_t{3}).set_array<std::uint32_t>("attention.head_count", {4, 4});
  CHECK(reason(few) == "key llama.attention.head_count has 2 elements for 3 layers");
  ModelHeader negative("llama");
  negative.set("block_count", std::uint32_t{1}).set_array<std::int32_t>("attention.head_count", {-4});
  CHECK(reason(negative) == "element 0 of key llama.attention.head_count is no count");
  ModelHeader all_ahead = plain_model("glm4moe", {.layers = 2});
  all_ahead.set("nextn_predict_layers", std::uint32_t{2});
  CHECK(reason(all_ahead).find("predict ahead") != std::string::npos);
}

TEST_CASE("without a context length the cache is unknown until one is set") {
  ModelHeader model("llama");
  model.set("block_count", std::uint32_t{1}).set("embedding_length", std::uint32_t{64});
  model.set("attention.head_count", std::uint32_t{1}).set("vocab_size", std::uint32_t{100});
  const auto plan = gguf::plan_memory(model.header(), {});
  REQUIRE(plan.has_value());
  CHECK(!plan->kv.has_value());
  CHECK(plan->kv_unknown.find("n_ctx") != std::string::npos);
  CHECK(gguf::plan_memory(model.header(), {.n_ctx = 256})->kv.has_value());
}

}  // namespace ggufd::test
