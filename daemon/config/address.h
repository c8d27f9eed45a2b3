// Hosts and ports, as URLs and listen addresses write them.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace ggufd::config {

struct HostPort {
  std::string host;  // without the brackets of an IPv6 address
  std::optional<std::uint16_t> port;
  bool is_loopback = false;  // localhost, 127.0.0.0/8 or ::1
  friend bool operator==(const HostPort&, const HostPort&) = default;
};

// "host", "host:port", "[address]" or "[address]:port"; the port from 0. The error is a sentence without a
// subject.
std::expected<HostPort, std::string> parse_host_port(std::string_view text);

// By the text alone: no name is looked up but "localhost".
bool is_loopback_host(std::string_view host);

// An IPv4 address in its four parts, or an IPv6 address.
bool is_ip_address(std::string_view host);

// "scheme://authority/…" taken apart; the parts are views into the text.
struct UrlParts {
  std::string scheme;          // in lower case
  std::string_view authority;  // with credentials, where there are any
  std::string_view rest;       // path, query and fragment
};
// Nothing where the text does not begin with a scheme and "://".
std::optional<UrlParts> split_url(std::string_view text);

// Scheme, host and port of a URL without credentials or a fragment, of printable ASCII.
struct CheckedUrl {
  std::string scheme;
  HostPort address;
  std::string url;  // with the scheme in lower case
};
std::expected<CheckedUrl, std::string> check_url(std::string_view text);

}  // namespace ggufd::config
