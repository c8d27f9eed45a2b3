// What a llama-server is started with.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "engine/llama_probe.h"

namespace ggufd::engine {

// What the daemon has prepared for one start.
struct LlamaPlace {
  // "/proc/self/fd/3", a descriptor that the child inherits; the first shard's real path where the model is
  // split, since llama.cpp makes the others' names from it.
  std::string model_path;
  // The private Unix socket, an absolute path that ends in ".sock" (llama-server takes nothing else for
  // one); empty: a port of the kernel's choice on 127.0.0.1, which its output names (engine/llama_log.h).
  std::string socket_path;
};

// The arguments without the program's name: ours, in spellings that `build` knows, then llama_server.args. A
// setting that a build has no flag for is left out, which means that build's own choice. Of our defaults that
// nobody has configured (--alias, --slots, --cache-ram, --fit, --verbosity, --flash-attn, --batch-size),
// those are left out that the user's own arguments settle.
std::vector<std::string> llama_arguments(const config::ModelConfig& model,
                                         const config::LlamaServerConfig& server, const LlamaBuild& build,
                                         const LlamaPlace& place);

// Whether one of the spellings is among `arguments`. '_' in a long flag counts as '-', as llama.cpp reads it.
bool has_argument(const std::vector<std::string>& arguments,
                  std::initializer_list<std::string_view> spellings);
// What follows the last of them; nothing where there is none. Valid for as long as `arguments` is.
std::optional<std::string_view> argument_value(const std::vector<std::string>& arguments,
                                               std::initializer_list<std::string_view> spellings);

}  // namespace ggufd::engine
