// A llama-server under supervision: started, watched, started again, stopped.
#pragma once

#include <memory>

#include "engine/engine.h"
#include "engine/llama_host.h"
#include "engine/llama_order.h"

namespace ggufd::engine {

// Its first run starts in a later turn; from then on `user` is told. What goes on with the bytes that
// `order` names is the engine's own business: they stay open as long as it lives.
std::unique_ptr<Engine> start_llama_server(LlamaHost& host, LlamaOrder order, EngineUser& user);

}  // namespace ggufd::engine
