#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "config/address.h"
#include "doctor/checks.h"
#include "doctor/group.h"
#include "fetch/hub_settings.h"
#include "store/file.h"

namespace ggufd::doctor {
namespace {

bool uses_hub(const config::Config& config) {
  return std::ranges::any_of(config.models, [](const config::ModelConfig& model) {
    return std::ranges::any_of(model.sources, [](const config::Source& source) {
      return std::holds_alternative<config::HuggingFaceSource>(source.where);
    });
  });
}

bool uses_tls(const config::Config& config) {
  return std::ranges::any_of(config.models, [](const config::ModelConfig& model) {
    return std::ranges::any_of(model.sources, [](const config::Source& source) {
      const auto* url = std::get_if<config::UrlSource>(&source.where);
      return source.is_network() && (url == nullptr || !url->is_plain_http);
    });
  });
}

void check_token(const Subject& subject, const config::Config& config, Group& group) {
  const fetch::HubSettings hub = fetch::hub_settings(config.fetch, subject.environment);
  if (!hub.token.empty()) {
    if (const auto token = fetch::check_token(hub.token, "HF_TOKEN"); !token)
      return group.fail("token", token.error().message, "correct HF_TOKEN, or unset it");
    if (!fetch::may_carry_token(hub.endpoint)) {
      return group.warn("token", fmt::format("HF_TOKEN is not sent to {}, which is plain HTTP", hub.endpoint),
                        "name an https endpoint in fetch.hf_endpoint");
    }
    return group.ok("token", "HF_TOKEN is set");
  }
  const auto token = fetch::read_token_file(hub);
  if (!token) {
    return group.fail("token", token.error().message,
                      fmt::format("chmod 0600 {}, or correct it", hub.token_file));
  }
  if (*token) return group.ok("token", fmt::format("in {}, for its owner only", hub.token_file));
  if (!uses_hub(config)) return group.skip("token", "no model comes from a hub");
  group.ok("token", "none: enough for repositories that everybody may read");
}

// Names as curl reads them: in lower case first, and HTTP_PROXY never
// (https://curl.se/libcurl/c/libcurl-env.html).
constexpr std::array<const char*, 6> proxy_variables{"http_proxy", "https_proxy", "HTTPS_PROXY",
                                                     "all_proxy",  "ALL_PROXY",   "HTTP_PROXY"};

// The value without credentials; nothing where curl would not understand it.
std::optional<std::string> shown_proxy(const std::string& value) {
  constexpr std::array<std::string_view, 6> schemes{"http",    "https",  "socks4",
                                                    "socks4a", "socks5", "socks5h"};
  const std::string text = value.find("://") == std::string::npos ? "http://" + value : value;
  const auto url = config::split_url(text);
  if (!url || std::ranges::find(schemes, url->scheme) == schemes.end()) return std::nullopt;
  const std::string_view host = url->authority.substr(url->authority.rfind('@') + 1);
  if (!config::parse_host_port(host)) return std::nullopt;
  return fmt::format("{}://{}", url->scheme, host);
}

void check_proxy(const Subject& subject, const config::Config& config, Group& group) {
  if (!config.fetch.proxy.empty()) {
    return group.ok("proxy",
                    fmt::format("{}, by fetch.proxy", shown_proxy(config.fetch.proxy).value_or("set")));
  }
  std::string used;
  for (const char* name : proxy_variables) {
    const auto value = subject.environment(name);
    if (!value) continue;
    const auto shown = shown_proxy(*value);
    if (!shown) {
      return group.fail(
          "proxy", fmt::format("{} is no proxy that can be used", name),
          "write scheme://host:port, with http, https, socks4, socks4a, socks5 or socks5h; or unset it");
    }
    if (std::string_view(name) == "HTTP_PROXY" && used.find("http_proxy") == std::string::npos) {
      return group.warn("proxy", "HTTP_PROXY is set, which is not read: any web server's caller could set it",
                        "set http_proxy, or fetch.proxy in the configuration");
    }
    used += fmt::format("{}{}={}", used.empty() ? "" : ", ", name, *shown);
  }
  if (used.empty()) return group.ok("proxy", "none");
  const char* exceptions = subject.environment("no_proxy") ? "no_proxy" : "NO_PROXY";
  if (const auto value = subject.environment(exceptions)) used += fmt::format(", {}={}", exceptions, *value);
  group.warn("proxy", used + ": every download goes through it, but loopback",
             "nothing has to be done where that is meant; fetch.proxy goes before the environment");
}

void check_certificates(const Subject& subject, const config::Config& config, Group& group) {
  if (!uses_tls(config)) return group.skip("certificates", "no model comes over TLS");
  // Debian's, which libcurl was built with; the package is ca-certificates.
  const bool is_own = !config.fetch.ca_file.empty();
  const std::string path =
      is_own ? config.fetch.ca_file : subject.system_root + "/etc/ssl/certs/ca-certificates.crt";
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) {
    return group.fail("certificates", fmt::format("{} is not there: no server can prove who it is", path),
                      is_own ? "correct fetch.ca_file" : "install the package ca-certificates");
  }
  // The system's may be a link; its first bytes are enough.
  constexpr std::size_t front_bytes = 64 * 1024;
  std::string front(front_bytes, '\0');
  const store::UniqueFd opened(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  const auto count = opened
                         ? store::pread_all(opened.get(), std::as_writable_bytes(std::span(front)), 0, path)
                         : std::unexpected(system_error("opening " + path, errno));
  if (!count) return group.fail("certificates", count.error().message, "make it readable for this user");
  front.resize(*count);
  if (front.find("-----BEGIN CERTIFICATE-----") == std::string::npos) {
    return group.fail("certificates", path + " holds no certificate in PEM",
                      is_own ? "correct fetch.ca_file" : "run update-ca-certificates");
  }
  constexpr std::int64_t three_years_s = 3LL * 365 * 86'400;
  if (!is_own && fstat(opened.get(), &status) == 0 &&
      subject.now.ms / 1000 - status.st_mtime > three_years_s) {
    return group.warn("certificates", path + " is more than three years old",
                      "update the package ca-certificates: newer authorities are missing");
  }
  group.ok("certificates", path);
}

}  // namespace

void check_network(const Subject& subject, const config::Config& config, answer::Doctor& report) {
  Group group(report, "network");
  check_token(subject, config, group);
  check_proxy(subject, config, group);
  check_certificates(subject, config, group);
}

}  // namespace ggufd::doctor
