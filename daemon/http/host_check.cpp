#include "http/host_check.h"

#include "config/address.h"

namespace ggufd::http {

bool is_our_host(const config::HttpConfig& config, std::optional<std::string_view> host) {
  if (config.allow_remote || !host) return true;
  const auto named = config::parse_host_port(*host);
  if (!named) return false;
  if (named->is_loopback) return true;
  const auto configured = config::parse_host_port(config.tcp);
  return configured && configured->host == named->host;
}

}  // namespace ggufd::http
