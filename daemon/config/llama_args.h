// Which of llama-server's flags `llama_server.args` may not hold, because ggufd sets them itself or could not
// supervise the child with them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ggufd::config {

// A sentence without a subject that says what to use instead; nothing where the argument may stand.
// "--flag=value" and
// "--ctx_size" (llama.cpp reads '_' in long flags as '-') count as the flag.
std::optional<std::string> check_llama_argument(std::string_view argument);

}  // namespace ggufd::config
