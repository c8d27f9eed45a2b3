// Whether a model computes embeddings instead of text.
#pragma once

#include "gguf/header.h"

namespace ggufd::gguf {

// An encoder without a decoder, by its architecture, or a model whose `<architecture>.pooling_type` is not 0
// (none): that key is written for embedding and ranking models only (llama.cpp, src/llama-arch.cpp and
// convert_hf_to_gguf.py, 2026-07).
bool is_embedding_model(const Header& header);

}  // namespace ggufd::gguf
