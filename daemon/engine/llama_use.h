// Whether somebody uses a llama-server just now.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "engine/llama_facts.h"
#include "engine/llama_host.h"
#include "engine/llama_question.h"
#include "loop/operation.h"

namespace ggufd::engine {

// What could be found out; nothing where it does not tell.
struct LlamaUse {
  std::optional<SlotsSeen> slots;          // of /slots
  std::optional<std::size_t> connections;  // to its socket

  bool is_busy() const { return (slots && slots->busy > 0) || connections.value_or(0) > 0; }
};

// Counts the connections to `socket_path`, then asks for the slots. `done` comes once, never from inside this
// call, but not where the operation is destroyed.
[[nodiscard]] loop::OperationPtr look_at_use(LlamaHost& host, const LlamaAddress& address,
                                             const std::string& api_key, const std::string& socket_path,
                                             std::move_only_function<void(LlamaUse)> done);

}  // namespace ggufd::engine
