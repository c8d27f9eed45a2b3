// Where other programs keep their models.
#pragma once

#include <sys/types.h>

#include <array>
#include <string>
#include <string_view>

#include "config/environment.h"

namespace ggufd::config {

inline constexpr std::array<std::string_view, 3> foreign_stores{"hf", "ollama", "llama.cpp"};

// The folder of one of them:
//   hf         $HF_HUB_CACHE, $HF_HOME/hub, ~/.cache/huggingface/hub
//              (https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables)
//   ollama     $OLLAMA_MODELS, ~/.ollama/models (https://docs.ollama.com/faq)
//   llama.cpp  $LLAMA_CACHE, $XDG_CACHE_HOME/llama.cpp, ~/.cache/llama.cpp (llama.cpp's common/common.cpp)
std::string foreign_store_folder(std::string_view name, const Environment& environment, uid_t uid);

}  // namespace ggufd::config
