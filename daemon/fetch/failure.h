// Why a request has failed, and what that means for the next one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "fetch/curl_loop.h"
#include "protocol/error.h"

namespace ggufd::fetch {

struct Failure {
  Error error;
  // The same request may succeed later: network faults, stalls, 408, 425, 429 and 5xx other than 501 and 505.
  // Anything else is a judgement: asking again brings the same.
  bool is_passing = false;
  // How long the server asks us to wait (Retry-After, or where there is none RateLimit's t=), milliseconds;
  // at most max_asked_wait_ms. Nothing where it does not say, or where waiting would not help.
  std::optional<std::uint64_t> wait_ms;
};

// A server that asks for more than an hour is as good as down: its wait is cut to this.
inline constexpr std::uint64_t max_asked_wait_ms = 3'600'000;

// Of a transfer that ended with `error` (TransferSink::on_end).
Failure failure_of(Error error);
// Of a response with a status that was not due. `now_s` is the wall clock, seconds since 1970, for a
// Retry-After that is a date.
Failure failure_of(const ResponseHead& head, std::int64_t now_s);

}  // namespace ggufd::fetch
