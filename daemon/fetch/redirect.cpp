#include "fetch/redirect.h"

#include <curl/curl.h>

#include <memory>

#include "fetch/ascii.h"

namespace ggufd::fetch {
namespace {

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using UrlPtr = std::unique_ptr<CURLU, UrlDeleter>;

std::optional<std::string> part(CURLU* url, CURLUPart which) {
  char* text = nullptr;
  // Ports that are not written are those of the scheme.
  if (curl_url_get(url, which, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return std::nullopt;
  std::string copy(text);
  curl_free(text);
  return copy;
}

// "https host port"
std::string origin(CURLU* url) {
  std::string text;
  for (const CURLUPart which : {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT})
    text.append(lower_case(part(url, which).value_or(""))).append(" ");
  return text;
}

}  // namespace

std::optional<std::string> same_origin_target(const std::string& from, const std::string& location) {
  const UrlPtr url(curl_url());
  if (!url || curl_url_set(url.get(), CURLUPART_URL, from.c_str(), 0) != CURLUE_OK) return std::nullopt;
  const std::string here = origin(url.get());
  // What is no ASCII in it is percent-encoded, as curl does where it follows by itself.
  if (curl_url_set(url.get(), CURLUPART_URL, location.c_str(), CURLU_URLENCODE) != CURLUE_OK)
    return std::nullopt;
  if (origin(url.get()) != here || part(url.get(), CURLUPART_USER) || part(url.get(), CURLUPART_PASSWORD))
    return std::nullopt;
  curl_url_set(url.get(), CURLUPART_FRAGMENT, nullptr, 0);
  char* target = nullptr;
  if (curl_url_get(url.get(), CURLUPART_URL, &target, 0) != CURLUE_OK) return std::nullopt;
  std::string copy(target);
  curl_free(target);
  return copy;
}

}  // namespace ggufd::fetch
