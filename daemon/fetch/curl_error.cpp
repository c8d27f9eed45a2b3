#include "fetch/curl_error.h"

#include <fmt/core.h>

namespace ggufd::fetch {
namespace {

struct Meaning {
  ErrorCode code;
  std::string_view remedy;
};

Meaning meaning_of(CURLcode code) {
  switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
      return {ErrorCode::bad_source, "it leads to what is no https or http address; check the source"};
    case CURLE_TOO_MANY_REDIRECTS:
      return {ErrorCode::http_status, "the server sends us in circles; check the source"};
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return {ErrorCode::tls,
              "if the server's authority is a private one, name its certificate in fetch.ca_file"};
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_USE_SSL_FAILED:
      return {ErrorCode::tls, "check that the server speaks TLS on this port"};
    case CURLE_COULDNT_RESOLVE_PROXY:
      return {ErrorCode::network, "check fetch.proxy and the proxy variables"};
    case CURLE_COULDNT_RESOLVE_HOST:
      return {ErrorCode::network, "check the host's name and the network"};
    case CURLE_COULDNT_CONNECT:
      return {ErrorCode::network, "check that the server runs and can be reached"};
    default:
      return {ErrorCode::network, "try again"};
  }
}

// A TLS handshake that ended because the connection did (OpenSSL's words): a fault of the network or a server
// that is being restarted, not one of certificates or ciphers.
bool is_broken_off(CURLcode code, std::string_view detail) {
  if (code != CURLE_SSL_CONNECT_ERROR) return false;
  for (const std::string_view sign :
       {"SSL_ERROR_SYSCALL", "unexpected eof", "Connection reset", "Broken pipe", "Connection timed out"}) {
    if (detail.find(sign) != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace

Error curl_error(CURLcode code, std::string_view url, std::string_view detail) {
  const Meaning meaning = meaning_of(is_broken_off(code, detail) ? CURLE_RECV_ERROR : code);
  // A proxy that curl can't use is quoted whole, with its password.
  if (detail.empty() || detail.find('@') != std::string_view::npos) detail = curl_easy_strerror(code);
  return {meaning.code, fmt::format("fetching {}: {}; {}", display_url(url), detail, meaning.remedy)};
}

std::string display_url(std::string_view url) {
  const std::string_view without_query = url.substr(0, url.find_first_of("?#"));
  const std::size_t scheme_end = without_query.find("://");
  if (scheme_end == std::string_view::npos) return std::string(without_query);
  const std::size_t host = scheme_end + 3;
  const std::size_t path = std::min(without_query.find('/', host), without_query.size());
  const std::size_t credentials = without_query.substr(0, path).rfind('@');
  if (credentials == std::string_view::npos || credentials < host) return std::string(without_query);
  return std::string(without_query.substr(0, host)).append(without_query.substr(credentials + 1));
}

}  // namespace ggufd::fetch
