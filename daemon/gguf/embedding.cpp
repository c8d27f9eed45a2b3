#include "gguf/embedding.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace ggufd::gguf {

bool is_embedding_model(const Header& header) {
  constexpr auto encoders = std::to_array<std::string_view>(
      {"bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2", "jina-bert-v3",
       "eurobert", "t5encoder", "gemma-embedding"});
  if (std::ranges::find(encoders, header.architecture()) != encoders.end()) return true;
  const auto pooling = header.find<std::uint32_t>(header.model_key("pooling_type"));
  return pooling && *pooling && **pooling != 0;
}

}  // namespace ggufd::gguf
