// The llama-server that the configuration means: found, and asked what it is.
#pragma once

#include <functional>
#include <string>

#include "engine/llama_host.h"
#include "engine/llama_order.h"
#include "loop/operation.h"
#include "protocol/error.h"

namespace ggufd::engine {

// `binary` as in the configuration. `done` comes once, never from inside this call: with the errors of
// find_llama_server() and of LlamaProbe::probe(), or `cancelled`. It may destroy the operation.
using LlamaProgramDone = std::move_only_function<void(Result<LlamaProgram>)>;
[[nodiscard]] loop::OperationPtr find_llama_program(LlamaHost& host, const std::string& binary,
                                                    LlamaProgramDone done);

}  // namespace ggufd::engine
