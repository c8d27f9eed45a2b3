#include "config/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>

#include "config/quote.h"

namespace ggufd::config {

namespace {

bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

bool is_ipv6(const std::string& host) {
  in6_addr address{};
  return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

bool is_host_name(std::string_view host) {
  constexpr std::size_t longest = 253;  // RFC 1035, written out
  return !host.empty() && host.size() <= longest && host.front() != '-' && host.front() != '.' &&
         std::ranges::all_of(host, [](char c) { return is_alnum(c) || c == '-' || c == '.' || c == '_'; });
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return port;
}

}  // namespace

bool is_loopback_host(std::string_view host) {
  if (lower(host) == "localhost") return true;
  const std::string text(host);
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, text.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

bool is_ip_address(std::string_view host) {
  const std::string text(host);
  in_addr v4{};
  return inet_pton(AF_INET, text.c_str(), &v4) == 1 || is_ipv6(text);
}

std::expected<HostPort, std::string> parse_host_port(std::string_view text) {
  HostPort result;
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return std::unexpected("must close the bracket of the IPv6 address");
    result.host = text.substr(1, close - 1);
    if (!is_ipv6(result.host)) {
      return std::unexpected(
          fmt::format("must have an IPv6 address in brackets, not {}", quote(result.host)));
    }
    const std::string_view after = text.substr(close + 1);
    if (!after.empty() && after.front() != ':')
      return std::unexpected("must have nothing but \":port\" after the bracket");
    has_port = !after.empty();
    if (has_port) port = after.substr(1);
  } else {
    if (std::ranges::count(text, ':') > 1)
      return std::unexpected("must have an IPv6 address in brackets: \"[::1]:port\"");
    const auto colon = text.find(':');
    has_port = colon != std::string_view::npos;
    result.host = text.substr(0, colon);
    if (has_port) port = text.substr(colon + 1);
    if (!is_host_name(result.host)) {
      return std::unexpected(fmt::format("must name a host, {} is none", quote(result.host)));
    }
  }
  if (has_port) {
    result.port = parse_port(port);
    if (!result.port)
      return std::unexpected(fmt::format("must have a port from 0 to 65535, not {}", quote(port)));
  }
  result.is_loopback = is_loopback_host(result.host);
  return result;
}

std::optional<UrlParts> split_url(std::string_view text) {
  const auto colon = text.find("://");
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  const std::string_view scheme = text.substr(0, colon);
  const bool is_scheme =
      std::ranges::all_of(scheme, [](char c) { return is_alnum(c) || c == '+' || c == '-' || c == '.'; });
  if (!is_scheme) return std::nullopt;
  const std::string_view after = text.substr(colon + 3);
  const auto end = std::min(after.find_first_of("/?#"), after.size());
  return UrlParts{.scheme = lower(scheme), .authority = after.substr(0, end), .rest = after.substr(end)};
}

std::expected<CheckedUrl, std::string> check_url(std::string_view text) {
  const auto parts = split_url(text);
  if (!parts) return std::unexpected("must be a URL: \"https://host/path\"");
  if (!std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7F && c != '\\'; })) {
    return std::unexpected(
        "must be a URL of printable ASCII without spaces or backslashes; write anything else as %XX, a space "
        "as %20");
  }
  if (parts->authority.find('@') != std::string_view::npos) {
    return std::unexpected(
        "must not carry a user name or a password: this file may be read and shown; put a token into a file "
        "and name it "
        "in fetch.hf_token_file");
  }
  if (parts->rest.find('#') != std::string_view::npos) {
    return std::unexpected(
        "must not have a fragment (\"#…\"), no server sees it; write a # of the path as %23");
  }
  auto address = parse_host_port(parts->authority);
  if (!address) return std::unexpected(std::move(address.error()));
  if (address->port == 0) return std::unexpected("must have a port from 1 to 65535, not 0");
  return CheckedUrl{.scheme = parts->scheme,
                    .address = std::move(*address),
                    .url = fmt::format("{}://{}{}", parts->scheme, parts->authority, parts->rest)};
}

}  // namespace ggufd::config
