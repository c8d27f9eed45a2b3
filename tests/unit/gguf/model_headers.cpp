#include "tests/unit/gguf/model_headers.h"

namespace ggufd::test {

ModelHeader plain_model(std::string_view architecture, const ModelNumbers& numbers) {
  ModelHeader model(architecture);
  model.set("block_count", numbers.layers).set("context_length", numbers.n_ctx);
  model.set("embedding_length", numbers.n_embd).set("vocab_size", numbers.n_vocab);
  model.set("attention.head_count", numbers.heads);
  if (numbers.kv_heads != 0) model.set("attention.head_count_kv", numbers.kv_heads);
  model.set("attention.key_length", numbers.head).set("attention.value_length", numbers.head);
  return model;
}

ModelHeader deepseek_r1() {
  ModelHeader model("deepseek2");
  model.set("block_count", std::uint32_t{61}).set("context_length", std::uint32_t{163840});
  model.set("embedding_length", std::uint32_t{7168}).set("vocab_size", std::uint32_t{129280});
  model.set("attention.head_count", std::uint32_t{128}).set("attention.head_count_kv", std::uint32_t{1});
  model.set("attention.kv_lora_rank", std::uint32_t{512}).set("rope.dimension_count", std::uint32_t{64});
  model.set("attention.key_length", std::uint32_t{576}).set("attention.value_length", std::uint32_t{512});
  model.set("attention.key_length_mla", std::uint32_t{192})
      .set("attention.value_length_mla", std::uint32_t{128});
  return model;
}

ModelHeader gpt_oss_20b() {
  ModelHeader model = plain_model("gpt-oss", {.layers = 24,
                                              .heads = 64,
                                              .kv_heads = 8,
                                              .head = 64,
                                              .n_ctx = 131072,
                                              .n_vocab = 201088,
                                              .n_embd = 2880});
  model.set("attention.sliding_window", std::uint32_t{128});
  return model;
}

ModelHeader gemma3_270m() {
  ModelHeader model = plain_model("gemma3", {.layers = 18,
                                             .heads = 4,
                                             .kv_heads = 1,
                                             .head = 256,
                                             .n_ctx = 32768,
                                             .n_vocab = 262144,
                                             .n_embd = 640});
  model.set("attention.sliding_window", std::uint32_t{512});
  return model;
}

ModelHeader qwen36_27b() {
  ModelHeader model = plain_model("qwen35", {.layers = 64,
                                             .heads = 24,
                                             .kv_heads = 4,
                                             .head = 256,
                                             .n_ctx = 262144,
                                             .n_vocab = 248320,
                                             .n_embd = 5120});
  model.set("full_attention_interval", std::uint32_t{4}).set("ssm.conv_kernel", std::uint32_t{4});
  model.set("ssm.inner_size", std::uint32_t{6144}).set("ssm.state_size", std::uint32_t{128});
  model.set("ssm.group_count", std::uint32_t{16});
  return model;
}

}  // namespace ggufd::test
