// Against DNS rebinding: a web page may have its own name resolve to 127.0.0.1, and its browser then sends
// that name as `Host`.
#pragma once

#include <optional>
#include <string_view>

#include "config/config.h"

namespace ggufd::http {

// Whether a request that came over `http.tcp` names this machine: a loopback name or address, or the host
// that is configured. Everything does with `allow_remote`; so does no `Host` at all, which no browser sends.
bool is_our_host(const config::HttpConfig& config, std::optional<std::string_view> host);

}  // namespace ggufd::http
