#include "tests/support/runnable_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace ggufd::test {
namespace {

// Llama's three special tokens and 256 bytes come before the words.
constexpr std::uint64_t tokens_before_words = 3 + 256;

constexpr std::string_view chat_template =
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %} {{ message['content'] }} {{ eos_token }}"
    "{% else %}[INST] {{ message['content'] }} [/INST]{% endif %}"
    "{% endfor %}";

// Ids of the special tokens, which come first.
constexpr std::size_t bert_special_tokens = 5;
enum class BertToken : std::uint32_t { padding, unknown, classify, separate, mask };

// A printable character each, at a word's start and within one. llama.cpp marks the start (U+2581), not the
// continuation as the original "##" does, and lowers capitals before it looks.
std::vector<std::string> bert_tokens() {
  std::vector<std::string> tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  for (char letter = '!'; letter <= '~'; ++letter) {
    if (letter >= 'A' && letter <= 'Z') continue;
    tokens.push_back(fmt::format("\u2581{}", letter));
    tokens.emplace_back(1, letter);
  }
  return tokens;
}

void add_bert_tokenizer(GgufBuilder& file, const std::vector<std::string>& tokens) {
  constexpr std::int32_t plain = 1;  // llama.cpp's numbers
  constexpr std::int32_t control = 3;
  std::vector<std::int32_t> types(tokens.size(), plain);
  std::fill_n(types.begin(), bert_special_tokens, control);
  file.add("tokenizer.ggml.model", "bert").add("tokenizer.ggml.pre", "default");
  file.add_strings("tokenizer.ggml.tokens", tokens);
  file.add_array<std::int32_t>("tokenizer.ggml.token_type", std::span<const std::int32_t>(types));
  file.add("tokenizer.ggml.token_type_count", std::uint32_t{2});
  const auto id = [&](std::string_view name, BertToken token) {
    file.add(fmt::format("tokenizer.ggml.{}_token_id", name), static_cast<std::uint32_t>(token));
  };
  using enum BertToken;
  id("bos", classify);
  id("cls", classify);
  id("eos", separate);
  id("seperator", separate);  // so it is spelt
  id("unknown", unknown);
  id("padding", padding);
  id("mask", mask);
}

void add_bert_keys(GgufBuilder& file, const EmbeddingOptions& options) {
  file.add("general.architecture", "bert").add("general.type", "model");
  file.add("general.name", "ggufd test embedding model").add("general.file_type", std::uint32_t{7});
  file.add("general.quantization_version", std::uint32_t{2});
  file.add("bert.block_count", options.n_layers).add("bert.context_length", options.n_ctx);
  file.add("bert.embedding_length", options.n_embd).add("bert.feed_forward_length", options.n_embd * 2);
  file.add("bert.attention.head_count", options.n_embd / 32);
  file.add("bert.attention.layer_norm_epsilon", 1e-12F).add("bert.attention.causal", false);
  file.add("bert.pooling_type", std::uint32_t{1});  // mean
}

// f32 data are ones: right for a norm's weight, while a bias is zero.
void add_bias(GgufBuilder& file, const std::string& name, std::uint64_t size) {
  file.tensor(name + ".bias", "f32", {size}).zero_rows(size);
}

void add_norm(GgufBuilder& file, const std::string& name, std::uint64_t size) {
  file.tensor(name + ".weight", "f32", {size});
  add_bias(file, name, size);
}

void add_matrix(GgufBuilder& file, const std::string& name, std::uint64_t from, std::uint64_t to) {
  file.tensor(name + ".weight", "q8_0", {from, to});
  add_bias(file, name, to);
}

void add_bert_layer(GgufBuilder& file, std::uint32_t layer, std::uint64_t embd) {
  const auto name = [&](std::string_view part) { return fmt::format("blk.{}.{}", layer, part); };
  for (const std::string_view part : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
    add_matrix(file, name(part), embd, embd);
  }
  add_norm(file, name("attn_output_norm"), embd);
  add_matrix(file, name("ffn_up"), embd, embd * 2);
  add_matrix(file, name("ffn_down"), embd * 2, embd);
  add_norm(file, name("layer_output_norm"), embd);
}

}  // namespace

GgufBuilder chat_model(LlamaOptions options) {
  options.gpt2_tokenizer = false;
  GgufBuilder file = llama_model(options);
  // The last tensor is output.weight, a row a token. A row of zeros makes a logit of 0: about half of the
  // words have a larger one, so neither a byte nor the end is ever among the likeliest tokens.
  file.zero_rows(tokens_before_words);
  file.add("tokenizer.chat_template", chat_template);
  return file;
}

GgufBuilder embedding_model(const EmbeddingOptions& options) {
  const auto tokens = bert_tokens();
  const std::uint64_t embd = options.n_embd;
  GgufBuilder file;
  file.seed(options.seed);
  add_bert_keys(file, options);
  add_bert_tokenizer(file, tokens);
  file.tensor("token_embd.weight", "f16", {embd, tokens.size()});
  file.tensor("position_embd.weight", "f16", {embd, options.n_ctx});
  file.tensor("token_types.weight", "f32", {embd, 2});
  add_norm(file, "token_embd_norm", embd);
  for (std::uint32_t layer = 0; layer < options.n_layers; ++layer) add_bert_layer(file, layer, embd);
  return file;
}

}  // namespace ggufd::test
