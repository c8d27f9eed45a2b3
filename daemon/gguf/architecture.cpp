#include "gguf/architecture.h"

#include <algorithm>
#include <array>

namespace ggufd::gguf {
namespace {

using Use = Window::Use;
using Pattern = Window::Pattern;

// Full attention in every layer, nothing else to know.
constexpr auto plain_names = std::to_array<std::string_view>({
    "apertus",     "arcee",         "arctic",     "baichuan",   "bailingmoe",   "bitnet",    "bloom",
    "chameleon",   "chatglm",       "codeshell",  "cogvlm",     "command-r",    "dbrx",      "deci",
    "deepseek",    "deepseek2-ocr", "dots1",      "ernie4_5",   "ernie4_5-moe", "exaone",    "falcon",
    "gemma",       "gpt2",          "gptneox",    "granite",    "granitemoe",   "grok",      "grovemoe",
    "hunyuan-moe", "hunyuan-dense", "hunyuan_vl", "internlm2",  "jais",         "jais2",     "llama",
    "llama-embed", "maincoder",     "minicpm",    "minicpm3",   "minimax-m2",   "mistral3",  "mpt",
    "nemotron",    "olmo",          "olmoe",      "openelm",    "orion",        "paddleocr", "pangu-embedded",
    "phi2",        "phimoe",        "plamo",      "plm",        "qwen",         "qwen2",     "qwen2moe",
    "qwen2vl",     "qwen3",         "qwen3moe",   "qwen3vl",    "qwen3vlmoe",   "refact",    "seed_oss",
    "smollm3",     "stablelm",      "starcoder",  "starcoder2", "talkie",       "xverse",
    "phi3",  // its files name a window, which the engine switches off
});

constexpr auto without_memory = std::to_array<std::string_view>({
    "bert",
    "dream",
    "eurobert",
    "gemma-embedding",
    "jina-bert-v2",
    "jina-bert-v3",
    "llada",
    "llada-moe",
    "modern-bert",
    "neo-bert",
    "nomic-bert",
    "nomic-bert-moe",
    "rnd1",
    "wavtokenizer-dec",
});

constexpr Architecture attention_only = {.name = "", .memory = Memory::attention};
constexpr Architecture without_cache = {.name = "", .memory = Memory::none};

constexpr auto special_cases = std::to_array<Architecture>({
    // Layers that predict ahead. Releases since June 2026 cache those of some architectures; it was taken
    // back
    // for glm4moe, deepseek2 and cohere2moe in September.
    {.name = "bailingmoe2", .ahead = Ahead::disputed},
    {.name = "glm4", .ahead = Ahead::disputed},
    {.name = "glm4moe", .ahead = Ahead::uncached},

    // Multi-head latent attention.
    {.name = "deepseek2", .ahead = Ahead::uncached, .latent = true},
    {.name = "mistral4", .ahead = Ahead::uncached, .latent = true},

    // Sliding windows.
    {.name = "afmoe", .window = {.use = Use::if_set, .period = 4}},
    {.name = "cohere2", .window = {.use = Use::always, .period = 4}},
    {.name = "cohere2moe",
     .window = {.use = Use::always, .pattern = Pattern::either, .dense_first = true},
     .ahead = Ahead::uncached},
    {.name = "exaone-moe", .window = {.use = Use::always, .period = 4}, .ahead = Ahead::disputed},
    {.name = "exaone4",
     .window = {.use = Use::always, .period = 4, .default_tokens = 4096, .only_layers = 64},
     .ahead = Ahead::disputed},
    {.name = "gemma2", .window = {.use = Use::always, .period = 2, .default_tokens = 4096}},
    {.name = "gemma3", .window = {.use = Use::if_set, .period = 6}},
    {.name = "gemma3n", .window = {.use = Use::always, .period = 5}, .kv_layers = 20},
    {.name = "gemma4", .window = {.use = Use::always, .pattern = Pattern::flags}, .shares_cache = true},
    {.name = "gpt-oss", .window = {.use = Use::always, .period = 2}},
    {.name = "llama4", .window = {.use = Use::unless_zero, .period = 4, .fixed_tokens = 8192}},
    {.name = "mellum", .window = {.use = Use::if_set, .pattern = Pattern::either}},
    {.name = "mimo2", .window = {.use = Use::always, .pattern = Pattern::flags}, .ahead = Ahead::disputed},
    {.name = "olmo2", .window = {.use = Use::if_set, .period = 4}},
    {.name = "plamo3", .window = {.use = Use::if_set, .period = 8}},
    {.name = "smallthinker",
     .window = {.use = Use::if_set, .period = 4, .fixed_tokens = 4096, .dense_first = true}},
    {.name = "step35", .window = {.use = Use::always, .pattern = Pattern::flags}, .ahead = Ahead::uncached},

    // Recurrent.
    {.name = "arwkv7", .memory = Memory::recurrent, .state = State::rwkv},
    {.name = "mamba", .memory = Memory::recurrent, .state = State::mamba},
    {.name = "mamba2", .memory = Memory::recurrent, .state = State::mamba_grouped},
    {.name = "rwkv6", .memory = Memory::recurrent, .state = State::rwkv},
    {.name = "rwkv6qwen2", .memory = Memory::recurrent, .state = State::rwkv},
    {.name = "rwkv7", .memory = Memory::recurrent, .state = State::rwkv},

    // Hybrid.
    {.name = "falcon-h1", .memory = Memory::parallel, .state = State::mamba_grouped},
    {.name = "granitehybrid", .memory = Memory::hybrid_by_heads, .state = State::mamba_grouped},
    {.name = "jamba", .memory = Memory::hybrid_by_heads, .state = State::mamba},
    {.name = "lfm2",
     .memory = Memory::hybrid_by_heads,
     .state = State::short_convolution,
     .window = {.use = Use::if_set, .pattern = Pattern::unread}},
    {.name = "lfm2moe", .memory = Memory::hybrid_by_heads, .state = State::short_convolution},
    {.name = "nemotron_h", .memory = Memory::hybrid_by_ffn, .state = State::mamba_grouped},
    {.name = "nemotron_h_moe", .memory = Memory::hybrid_by_ffn, .state = State::mamba_grouped},
    {.name = "plamo2", .memory = Memory::hybrid_by_heads, .state = State::mamba_grouped},
    {.name = "qwen3next", .memory = Memory::hybrid_by_interval, .state = State::mamba_grouped},
    {.name = "qwen35",
     .memory = Memory::hybrid_by_interval,
     .state = State::mamba_grouped,
     .ahead = Ahead::uncached},
    {.name = "qwen35moe",
     .memory = Memory::hybrid_by_interval,
     .state = State::mamba_grouped,
     .ahead = Ahead::uncached},
});

}  // namespace

const Architecture* find_architecture(std::string_view name) {
  if (const auto* special = std::ranges::find(special_cases, name, &Architecture::name);
      special != special_cases.end()) {
    return special;
  }
  if (std::ranges::find(plain_names, name) != plain_names.end()) return &attention_only;
  if (std::ranges::find(without_memory, name) != without_memory.end()) return &without_cache;
  return nullptr;
}

}  // namespace ggufd::gguf
