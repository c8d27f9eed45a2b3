// Models of a few hundred kilobytes that a real llama-server loads and runs: every key and tensor it asks
// for, a vocabulary that spells any text, finite results. What they answer is noise of the seed.
#pragma once

#include <cstdint>

#include "tests/support/gguf_builder.h"

namespace ggufd::test {

// llama_model() with a chat template. With a sampler's usual top-k it says words of lower-case letters and
// does not end by itself: a request says how many tokens it wants. Which words is up to the build that runs
// it. The tokenizer is always llama's; the other options hold, so that it can be large enough to be seen
// loading.
GgufBuilder chat_model(LlamaOptions options = {});

struct EmbeddingOptions {
  std::uint64_t seed = 1;
  std::uint32_t n_ctx = 512;  // longest text, tokens; a row of the positions' tensor each
  std::uint32_t n_layers = 2;
  std::uint32_t n_embd = 64;  // a multiple of 64
};

// Architecture bert, as embedding models have it: WordPiece, no cache, mean pooling, vectors of n_embd
// numbers. llama-server has to be told --embeddings; without, its warm-up ends with an assertion.
GgufBuilder embedding_model(const EmbeddingOptions& options = {});

}  // namespace ggufd::test
