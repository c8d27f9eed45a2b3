#include "config/foreign_stores.h"

namespace ggufd::config {

std::string foreign_store_folder(std::string_view name, const Environment& environment, uid_t uid) {
  const auto below_home = [&](std::string_view path) {
    const auto home = home_folder(environment, uid);
    return (home && *home != "/" ? *home : "") + "/" + std::string(path);
  };
  if (name == "hf") {
    if (const auto cache = environment("HF_HUB_CACHE")) return *cache;
    if (const auto home = environment("HF_HOME")) return *home + "/hub";
    return below_home(".cache/huggingface/hub");
  }
  if (name == "ollama") return environment("OLLAMA_MODELS").value_or(below_home(".ollama/models"));
  if (const auto cache = environment("LLAMA_CACHE")) return *cache;
  if (const auto cache = environment("XDG_CACHE_HOME")) return *cache + "/llama.cpp";
  return below_home(".cache/llama.cpp");
}

}  // namespace ggufd::config
