#include "fetch/source_url.h"

#include <fmt/core.h>

#include <string_view>

namespace ggufd::fetch {
namespace {

constexpr std::string_view default_endpoint = "https://huggingface.co";

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

std::string hugging_face_url(const config::HuggingFaceSource& source, std::string_view endpoint) {
  if (endpoint.empty()) endpoint = default_endpoint;
  if (endpoint.ends_with('/')) endpoint.remove_suffix(1);
  // A revision such as refs/pr/3 is one part of the path; the file's own folders are several.
  return fmt::format("{}/{}/{}/resolve/{}/{}", endpoint, percent_encoded(source.org, ""),
                     percent_encoded(source.repo, ""), percent_encoded(source.revision, ""),
                     percent_encoded(source.path, "/"));
}

}  // namespace

std::string source_url(const config::Source& source, const config::FetchConfig& settings) {
  if (const auto* url = std::get_if<config::UrlSource>(&source.where)) return url->url;
  return hugging_face_url(std::get<config::HuggingFaceSource>(source.where), settings.hf_endpoint);
}

}  // namespace ggufd::fetch
