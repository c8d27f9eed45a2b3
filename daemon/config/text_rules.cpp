#include "config/text_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/address.h"
#include "config/llama_args.h"
#include "config/quote.h"

namespace ggufd::config {

namespace {

using Complaint = std::optional<std::string>;

Complaint check_model_name(const std::string& value) {
  if (is_model_name(value)) return {};
  return fmt::format("must be 1 to {} of A-Za-z0-9._-, not starting with \".\"; {} is not",
                     max_model_name_bytes, quote(value));
}

Complaint check_path(std::string& value, const Environment& environment) {
  if (has_control_character(value)) return "must not contain control characters";
  auto expanded = expand_home(value, environment);
  if (!expanded) return fmt::format("cannot be expanded: {}", expanded.error().message);
  if (!expanded->starts_with('/')) {
    return fmt::format("must be an absolute path or begin with \"~/\", not {}", quote(value));
  }
  value = std::move(*expanded);
  return {};
}

Complaint check_file(std::string& value, const Environment& environment) {
  if (auto complaint = check_path(value, environment)) return complaint;
  if (value.ends_with('/')) return fmt::format("must name a file, {} is a folder", quote(value));
  return {};
}

Complaint check_program(std::string& value, const Environment& environment) {
  const bool is_plain_name = value.find('/') == std::string::npos && value != "~";
  if (!is_plain_name) return check_file(value, environment);
  if (value.empty()) return "must name a program";
  if (has_control_character(value)) return "must not contain control characters";
  return {};
}

// http:// is right for some hosts and with fetch.allow_plain_http; config/cross_checks.h knows.
Complaint check_web_url(std::string& value) {
  auto checked = check_url(value);
  if (!checked) return std::move(checked.error());
  if (checked->scheme != "https" && checked->scheme != "http") {
    return fmt::format("must be an https:// URL, the scheme {} is not known", quote(checked->scheme));
  }
  if (checked->url.find('?') != std::string::npos) return "must be a URL without a query";
  value = std::move(checked->url);
  while (value.ends_with('/')) value.pop_back();
  return {};
}

// A proxy's user name and password are part of its URL; only its shape is looked at.
Complaint check_proxy(const std::string& value) {
  constexpr auto schemes =
      std::to_array<std::string_view>({"http", "https", "socks4", "socks4a", "socks5", "socks5h"});
  if (std::ranges::any_of(value, [](char c) { return c <= 0x20 || c >= 0x7F; })) {
    return "must be a URL of printable ASCII without spaces";
  }
  const auto parts = split_url(value);
  if (!parts || std::ranges::find(schemes, std::string_view(parts->scheme)) == schemes.end()) {
    return fmt::format("must begin with one of {}://", fmt::join(schemes, "://, "));
  }
  if (parts->rest != "" && parts->rest != "/") return "must end after the port, a proxy has no path";
  const auto at = parts->authority.rfind('@');
  const auto address =
      parse_host_port(at == std::string_view::npos ? parts->authority : parts->authority.substr(at + 1));
  if (!address) return address.error();
  return {};
}

// Host names other than localhost are refused: what they stand for may change, and with it who can connect.
Complaint check_listen_address(const std::string& value) {
  const auto address = parse_host_port(value);
  if (!address) return address.error();
  if (!address->port) return "must have a port: \"127.0.0.1:8080\"";
  if (address->is_loopback || is_ip_address(address->host)) return {};
  return fmt::format("must be an IP address or localhost and a port, {} is neither", quote(address->host));
}

Complaint check_sha256(std::string& value) {
  std::string digest = value;
  for (char& c : digest) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  }
  const bool is_hex =
      std::ranges::all_of(digest, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  constexpr std::size_t digits = 64;
  if (is_hex && digest.size() == digits) {
    value = std::move(digest);
    return {};
  }
  if (value.starts_with("sha256:")) return "must be 64 hex digits alone, without \"sha256:\"";
  if (!is_hex) return fmt::format("must be 64 hex digits; {} has others", quote(value));
  return fmt::format("must be 64 hex digits, not {}", value.size());
}

}  // namespace

bool is_model_name(std::string_view name) {
  return !name.empty() && name.size() <= max_model_name_bytes && name.front() != '.' &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                  c == '_' || c == '-';
         });
}

std::optional<std::string> check_text(const Rule& rule, std::string& value, const Environment& environment) {
  if (value.empty() && rule.may_be_empty) return {};
  switch (rule.text) {
    case TextKind::any:
      return {};
    case TextKind::model_name:
      return check_model_name(value);
    case TextKind::folder:
      return check_path(value, environment);
    case TextKind::file:
      return check_file(value, environment);
    case TextKind::program:
      return check_program(value, environment);
    case TextKind::https_url:
      return check_web_url(value);
    case TextKind::proxy_url:
      return check_proxy(value);
    case TextKind::listen_address:
      return check_listen_address(value);
    case TextKind::sha256:
      return check_sha256(value);
    case TextKind::llama_argument:
      return check_llama_argument(value);
  }
  return {};
}

}  // namespace ggufd::config
