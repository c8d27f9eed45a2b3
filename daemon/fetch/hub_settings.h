// How Hugging Face, or a hub that speaks as it does, is reached, and the access token for it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "config/config.h"
#include "config/environment.h"
#include "protocol/error.h"

namespace ggufd::fetch {

// Hugging Face's settings, from the configuration and, where that is silent, the environment: HF_ENDPOINT,
// HF_HUB_OFFLINE (1, ON, YES or TRUE), HF_TOKEN, HF_TOKEN_PATH, else the file $HF_HOME/token
// (https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables).
struct HubSettings {
  std::string endpoint;  // without a slash at the end; from the environment unchecked (check_hub_endpoint)
  bool is_offline = false;
  std::string token;                    // HF_TOKEN; empty: token_file is read when it is needed
  std::string token_file;               // fetch.hf_token_file, or the default place; empty: none
  bool token_file_is_required = false;  // the configuration names it: one that is not there is an error
};
HubSettings hub_settings(const config::FetchConfig& settings, const config::Environment& environment);

// `bad_source` where the endpoint is no URL without credentials and query, or plain http to another host and
// that is not allowed.
Result<void> check_hub_endpoint(std::string_view endpoint, bool allow_plain_http);
// Whether a token may be sent there: over TLS, or to this machine. The endpoint has been checked.
bool may_carry_token(std::string_view endpoint);

// A token is printable ASCII without blanks: anything else could not stand in a head. `io` otherwise;
// `origin` says where it comes from. Blanks around it, such as a file's last newline, do not belong to it.
Result<std::string> check_token(std::string_view token, std::string_view origin);

inline constexpr std::size_t max_token_file_bytes = 4096;
// The token of the settings' file; nothing where there is no file, or an empty one, and none is required.
// `io` where it cannot be read, is no regular file, is too large, or may be read or written by others than
// its owner. Blocks.
Result<std::optional<std::string>> read_token_file(const HubSettings& settings);

}  // namespace ggufd::fetch
