#include "fetch/failure.h"

#include <fmt/core.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "fetch/curl_error.h"
#include "fetch/http_fields.h"

namespace ggufd::fetch {
namespace {

bool is_passing_status(long status) {
  switch (status) {
    case 408:
    case 425:
    case 429:
      return true;
    case 501:  // neither the method nor the version of HTTP will be known a minute later
    case 505:
      return false;
    default:
      return status >= 500 && status < 600;
  }
}

// What it means and what to do.
std::string_view advice(long status) {
  switch (status) {
    case 401:
    case 403:
      return "access is refused; the source may need a token, or its terms to be accepted";
    case 404:
    case 410:
      return "no such file there; check the source's spelling";
    case 407:
      return "the proxy wants a user and a password; check fetch.proxy and the proxy variables";
    case 408:
      return "the server has waited too long for us; try again later";
    case 416:
      return "the file there ends before the range that was asked for; check the source";
    case 425:
    case 429:
      return "the server wants fewer requests; try again later";
    case 451:
      return "access is refused for legal reasons; take another source";
    case 501:
    case 505:
      return "the server does not know such requests; check the source";
    default:
      break;
  }
  if (status >= 500 && status < 600) return "the server fails; try again later";
  if (status >= 400 && status < 500) return "the server refuses the request; check the source";
  if (status >= 300 && status < 400) return "a redirection that leads nowhere; check the source";
  return "not an answer with the file; check the source";
}

std::optional<std::uint64_t> asked_wait_ms(const ResponseHead& head, std::int64_t now_s) {
  std::optional<std::uint64_t> wait_ms;
  if (const auto value = head.header("retry-after")) wait_ms = parse_retry_after(*value, now_s);
  const auto limit = head.header("ratelimit");
  if (!wait_ms && limit) wait_ms = parse_rate_limit(*limit);
  if (wait_ms) wait_ms = std::min(*wait_ms, max_asked_wait_ms);
  return wait_ms;
}

}  // namespace

Failure failure_of(Error error) {
  const bool is_passing = error.code == ErrorCode::network;
  return {.error = std::move(error), .is_passing = is_passing};
}

Failure failure_of(const ResponseHead& head, std::int64_t now_s) {
  Failure failure{.error = {ErrorCode::http_status,
                            fmt::format("fetching {}: HTTP {}: {}", display_url(head.effective_url),
                                        head.status, advice(head.status))},
                  .is_passing = is_passing_status(head.status)};
  if (failure.is_passing) failure.wait_ms = asked_wait_ms(head, now_s);
  return failure;
}

}  // namespace ggufd::fetch
