// One HTTP question to a llama-server, on a connection of its own: a connection that is kept would hold one
// of the few threads that serve its users.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "fetch/curl_loop.h"
#include "loop/operation.h"
#include "protocol/error.h"

namespace ggufd::engine {

// Where one listens: a Unix socket or, where that path is empty, a loopback port.
struct LlamaAddress {
  std::string socket_path;
  std::uint16_t port = 0;
};

struct LlamaQuestion {
  std::string path;                 // "/health"
  std::optional<std::string> post;  // JSON; nothing: GET
  std::string api_key;              // empty: none
  std::uint64_t limit_ms = 2000;    // for all of it
};

struct LlamaAnswer {
  long status = 0;  // of HTTP
  std::string body;
};

// A longer answer is none: /props with its chat template is some tens of KiB.
inline constexpr std::size_t max_llama_answer_bytes = std::size_t{1} << 20;

// `done` comes once, never from inside this call; any status is an answer. `engine_failed` where there was
// none, with why; `cancelled`.
[[nodiscard]] loop::OperationPtr ask_llama(fetch::CurlLoop& curl, const LlamaAddress& address,
                                           const LlamaQuestion& question,
                                           std::move_only_function<void(Result<LlamaAnswer>)> done);

}  // namespace ggufd::engine
