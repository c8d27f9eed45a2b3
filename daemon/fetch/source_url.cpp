#include "fetch/source_url.h"

#include <fmt/core.h>

#include <string_view>

namespace ggufd::fetch {
namespace {

// RFC 3986: everything but the unreserved characters is encoded; `keep` stays as it is.
std::string percent_encoded(std::string_view text, std::string_view keep) {
  constexpr std::string_view unreserved =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  std::string encoded;
  for (const char c : text) {
    if (unreserved.find(c) != std::string_view::npos || keep.find(c) != std::string_view::npos) {
      encoded.push_back(c);
    } else {
      fmt::format_to(std::back_inserter(encoded), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

}  // namespace

std::string hub_url(const config::HuggingFaceSource& source, std::string_view endpoint,
                    std::string_view revision) {
  // A revision such as refs/pr/3 is one part of the path; the file's own folders are several.
  return fmt::format("{}/{}/{}/resolve/{}/{}", endpoint, percent_encoded(source.org, ""),
                     percent_encoded(source.repo, ""), percent_encoded(revision, ""),
                     percent_encoded(source.path, "/"));
}

std::string source_url(const config::Source& source, const config::FetchConfig& settings) {
  if (const auto* url = std::get_if<config::UrlSource>(&source.where)) return url->url;
  const auto& hub = std::get<config::HuggingFaceSource>(source.where);
  std::string_view endpoint = settings.hf_endpoint;
  if (endpoint.empty()) endpoint = default_hub_endpoint;
  if (endpoint.ends_with('/')) endpoint.remove_suffix(1);
  return hub_url(hub, endpoint, hub.revision);
}

}  // namespace ggufd::fetch
