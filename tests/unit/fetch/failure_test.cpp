// Which failures pass, which are judgements, and how long to wait.
#include "fetch/failure.h"

#include <doctest/doctest.h>

#include <string>

namespace ggufd::fetch {
namespace {

ResponseHead head_with(long status) {
  ResponseHead head;
  head.status = status;
  head.effective_url = "https://h/p?token=secret";
  return head;
}

TEST_CASE("faults of the network pass, all other errors of a transfer are judgements") {
  for (const ErrorCode code :
       {ErrorCode::network, ErrorCode::tls, ErrorCode::http_status, ErrorCode::bad_source,
        ErrorCode::size_mismatch, ErrorCode::disk_full, ErrorCode::io, ErrorCode::cancelled}) {
    CAPTURE(code);
    const Failure failure = failure_of(Error{code, "what happened"});
    CHECK(failure.error == Error{code, "what happened"});
    CHECK(failure.is_passing == (code == ErrorCode::network));
    CHECK_FALSE(failure.wait_ms);
  }
}

TEST_CASE("a status passes where the same request may succeed later") {
  for (const long status : {408, 425, 429, 500, 502, 503, 504, 507, 520, 599}) {
    CAPTURE(status);
    CHECK(failure_of(head_with(status), 0).is_passing);
  }
  for (const long status :
       {200, 204, 206, 300, 302, 304, 400, 401, 403, 404, 405, 407, 410, 416, 451, 501, 505, 600}) {
    CAPTURE(status);
    CHECK_FALSE(failure_of(head_with(status), 0).is_passing);
  }
}

TEST_CASE("a status is told with the URL, without its secrets, and with what to do") {
  struct Case {
    long status;
    const char* advice;
  };
  for (const auto& [status, advice] :
       {Case{204, "check the source"}, Case{302, "leads nowhere"}, Case{400, "check the source"},
        Case{401, "token"}, Case{403, "terms"}, Case{404, "spelling"}, Case{407, "fetch.proxy"},
        Case{408, "later"}, Case{410, "spelling"}, Case{416, "ends before"}, Case{429, "later"},
        Case{451, "legal"}, Case{500, "later"}, Case{501, "check the source"}, Case{503, "later"}}) {
    CAPTURE(status);
    const Error error = failure_of(head_with(status), 0).error;
    CHECK(error.code == ErrorCode::http_status);
    CHECK(error.message.starts_with("fetching https://h/p: HTTP " + std::to_string(status) + ": "));
    CHECK(error.message.find(advice) != std::string::npos);
    CHECK(error.message.find("secret") == std::string::npos);
  }
}

TEST_CASE("the wait is what Retry-After says, else what RateLimit says") {
  ResponseHead head = head_with(429);
  CHECK_FALSE(failure_of(head, 0).wait_ms);
  head.headers["ratelimit"] = R"("api";r=0;t=55)";
  CHECK(failure_of(head, 0).wait_ms == 55'000U);
  head.headers["retry-after"] = "7";
  CHECK(failure_of(head, 0).wait_ms == 7'000U);
  head.headers["retry-after"] = "Sun, 06 Nov 1994 08:49:37 GMT";
  CHECK(failure_of(head, 784'111'777 - 9).wait_ms == 9'000U);
  head.headers["retry-after"] = "soon";
  CHECK(failure_of(head, 0).wait_ms == 55'000U);
}

TEST_CASE("no server is waited for longer than an hour") {
  ResponseHead head = head_with(503);
  for (const char* value : {"3601", "99999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"}) {
    CAPTURE(value);
    head.headers["retry-after"] = value;
    CHECK(failure_of(head, 0).wait_ms == max_asked_wait_ms);
  }
}

TEST_CASE("nobody waits for a judgement to change") {
  ResponseHead head = head_with(403);
  head.headers["retry-after"] = "7";
  CHECK_FALSE(failure_of(head, 0).wait_ms);
}

}  // namespace
}  // namespace ggufd::fetch
