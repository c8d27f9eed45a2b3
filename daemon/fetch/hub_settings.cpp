#include "fetch/hub_settings.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "config/address.h"
#include "fetch/ascii.h"
#include "fetch/source_url.h"
#include "store/file.h"

namespace ggufd::fetch {
namespace {

bool is_true(std::string_view value) {
  const std::string lower = lower_case(trimmed(value));
  return lower == "1" || lower == "on" || lower == "yes" || lower == "true";
}

// Empty where it would be below a home folder that is not known.
std::string default_token_file(const config::Environment& environment) {
  std::string path;
  if (const auto named = environment("HF_TOKEN_PATH")) {
    path = *named;
  } else if (const auto home = environment("HF_HOME")) {
    path = store::join(*home, "token");
  } else {
    path = store::join(environment("XDG_CACHE_HOME").value_or("~/.cache"), "huggingface/token");
  }
  return config::expand_home(path, environment).value_or("");
}

// A missing file is no mistake where nobody has asked for it, nor one below a folder that is closed to us.
bool is_absence(int error_number) {
  return error_number == ENOENT || error_number == ENOTDIR || error_number == EACCES;
}

Result<void> check_token_file(int fd, const std::string& path) {
  auto stat = store::stat_of(fd, path);
  if (!stat) return std::unexpected(std::move(stat.error()));
  if (!S_ISREG(stat->st_mode)) return fail(ErrorCode::io, fmt::format("the token file {} is no file", path));
  constexpr mode_t others_read_or_write = S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH;
  if ((stat->st_mode & others_read_or_write) == 0) return {};
  return fail(ErrorCode::io, fmt::format("the token file {} can be read or written by others than its owner, "
                                         "so it is not used; chmod 600 {}",
                                         path, path));
}

}  // namespace

HubSettings hub_settings(const config::FetchConfig& settings, const config::Environment& environment) {
  HubSettings hub;
  hub.endpoint = settings.hf_endpoint;
  if (hub.endpoint.empty()) hub.endpoint = trimmed(environment("HF_ENDPOINT").value_or(""));
  if (hub.endpoint.empty()) hub.endpoint = default_hub_endpoint;
  while (hub.endpoint.ends_with('/')) hub.endpoint.pop_back();
  hub.is_offline = is_true(environment("HF_HUB_OFFLINE").value_or(""));
  if (!settings.hf_token_file.empty()) {
    hub.token_file = settings.hf_token_file;
    hub.token_file_is_required = true;
    return hub;
  }
  hub.token = trimmed(environment("HF_TOKEN").value_or(""));
  if (hub.token.empty()) hub.token_file = default_token_file(environment);
  return hub;
}

Result<void> check_hub_endpoint(std::string_view endpoint, bool allow_plain_http) {
  const auto checked = config::check_url(endpoint);
  if (!checked) {
    return fail(ErrorCode::bad_source,
                fmt::format("the hub's endpoint (fetch.hf_endpoint, HF_ENDPOINT) {}", checked.error()));
  }
  const bool is_plain_http = checked->scheme == "http";
  if ((checked->scheme != "https" && !is_plain_http) || checked->url.find('?') != std::string::npos) {
    return fail(
        ErrorCode::bad_source,
        "the hub's endpoint (fetch.hf_endpoint, HF_ENDPOINT) must be an https:// URL without a query");
  }
  if (!is_plain_http || allow_plain_http || checked->address.is_loopback) return {};
  return fail(
      ErrorCode::bad_source,
      fmt::format("the hub's endpoint {} (fetch.hf_endpoint, HF_ENDPOINT) is plain http on another host, "
                  "which only fetch.allow_plain_http allows",
                  checked->url));
}

bool may_carry_token(std::string_view endpoint) {
  const auto checked = config::check_url(endpoint);
  return checked && (checked->scheme == "https" || checked->address.is_loopback);
}

Result<std::string> check_token(std::string_view token, std::string_view origin) {
  token = trimmed(token);
  if (std::ranges::all_of(token, [](char c) { return c > 0x20 && c < 0x7F; })) return std::string(token);
  return fail(ErrorCode::io, fmt::format("{} holds characters that no access token has; put the token there "
                                         "alone, in one line",
                                         origin));
}

Result<std::optional<std::string>> read_token_file(const HubSettings& settings) {
  const std::string& path = settings.token_file;
  // A symbolic link is followed: that is how mounted secrets look. O_NONBLOCK: a pipe must not hold us up.
  const store::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) {
    if (!settings.token_file_is_required && is_absence(errno)) return std::nullopt;
    return std::unexpected(system_error(fmt::format("opening the token file {}", path), errno));
  }
  if (auto checked = check_token_file(fd.get(), path); !checked)
    return std::unexpected(std::move(checked.error()));
  auto text = store::read_all(fd.get(), max_token_file_bytes, path);
  if (!text) return std::unexpected(std::move(text.error()));
  auto token = check_token(*text, fmt::format("the token file {}", path));
  if (!token) return std::unexpected(std::move(token.error()));
  if (!token->empty()) return std::optional(std::move(*token));
  if (!settings.token_file_is_required) return std::nullopt;
  return fail(ErrorCode::io, fmt::format("the token file {} is empty; put the token there", path));
}

}  // namespace ggufd::fetch
