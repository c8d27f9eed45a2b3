// Heads of answers, right and wrong, against what was asked.
#include "fetch/head_judgement.h"

#include <doctest/doctest.h>

namespace ggufd::fetch {
namespace {

using Kind = HeadJudgement::Kind;
using Headers = std::map<std::string, std::string, std::less<>>;

constexpr std::int64_t now_s = 1'800'000'000;

HeadJudgement judge(const Asked& asked, long status, Headers headers) {
  return judge_head(
      asked, {.status = status, .effective_url = "https://host/m?key=secret", .headers = std::move(headers)},
      now_s);
}

// The first request, and one in the middle of an object that is known.
const Asked first{.range = ByteRange{0, 100}, .may_be_whole = true};
const Asked middle{.range = ByteRange{100, 200}, .bound = {.etag = "\"a\"", .size_bytes = 1000}};

TEST_CASE("the part that was asked for is taken, with what it tells of the object") {
  const HeadJudgement judgement = judge(
      middle, 206, {{"content-range", "bytes 100-199/1000"}, {"etag", "\"a\""}, {"content-length", "100"}});
  CHECK(judgement.kind == Kind::partial);
  CHECK(judgement.range == ByteRange{100, 200});
  CHECK(judgement.identity == Identity{.etag = "\"a\"", .size_bytes = 1000});
  // Less than was asked for is a part as well.
  CHECK(judge(middle, 206, {{"content-range", "bytes 100-149/1000"}}).range == ByteRange{100, 150});
  // A known size need not be told again.
  CHECK(judge(middle, 206, {{"content-range", "bytes 100-199/*"}}).kind == Kind::partial);
}

TEST_CASE("the whole file is as good while nothing of it is here") {
  const HeadJudgement judgement =
      judge(first, 200, {{"content-length", "1000"}, {"last-modified", "Sat, 07 Nov 2026 10:00:00 GMT"}});
  CHECK(judgement.kind == Kind::whole);
  CHECK(judgement.identity.size_bytes == 1000U);
  CHECK(judgement.identity.last_modified == "Sat, 07 Nov 2026 10:00:00 GMT");
  CHECK(judge(first, 200, {}).kind == Kind::whole);
  // But not that of another object than was announced before.
  Asked again = first;
  again.bound = {.etag = "\"a\"", .size_bytes = 1000};
  CHECK(judge(again, 200, {{"content-length", "1000"}, {"etag", "\"b\""}}).kind == Kind::object_changed);
  CHECK(judge(again, 200, {{"content-length", "999"}, {"etag", "\"a\""}}).kind == Kind::object_changed);
  CHECK(judge(again, 200, {{"content-length", "1000"}, {"etag", "\"a\""}}).kind == Kind::whole);
}

TEST_CASE("what can't be put together with what is here means to begin anew, and how") {
  struct Case {
    Asked asked;
    long status;
    Headers headers;
    bool has_no_ranges;
    std::string in_message;
  };
  const Asked all{.bound = {.etag = "\"a\"", .size_bytes = 1000}};
  for (const Case& each : {
           Case{middle, 200, {{"etag", "\"b\""}}, false, "ETag"},
           Case{middle, 200, {{"etag", "\"a\""}, {"content-length", "1000"}}, true, "the whole file"},
           Case{middle, 200, {{"content-length", "1001"}}, false, "1001 bytes"},
           Case{middle, 206, {{"content-range", "bytes 100-199/1000"}, {"etag", "\"b\""}}, false, "ETag"},
           Case{middle, 206, {{"content-range", "bytes 100-199/1001"}}, false, "1001 bytes"},
           Case{middle, 206, {{"content-range", "bytes 0-99/1000"}}, true, "another part"},
           Case{middle, 206, {{"content-range", "bytes 100-200/1000"}}, true, "another part"},
           Case{middle, 206, {{"content-range", "bytes 101-199/1000"}}, true, "another part"},
           Case{middle, 206, {{"content-range", "lines 100-199/1000"}}, true, "which part"},
           Case{middle, 206, {{"content-range", "bytes */1000"}}, true, "which part"},
           Case{middle, 206, {}, true, "which part"},
           Case{middle,
                206,
                {{"content-range", "bytes 100-199/1000"}, {"content-length", "99"}},
                true,
                "length"},
           Case{first, 206, {{"content-range", "bytes 0-99/*"}}, true, "of how much"},
           Case{all, 206, {{"content-range", "bytes 0-99/1000"}}, true, "a part"},
           Case{middle, 416, {{"content-range", "bytes */50"}}, false, "50 bytes"},
       }) {
    CAPTURE(each.status);
    CAPTURE(each.in_message);
    const HeadJudgement judgement = judge(each.asked, each.status, each.headers);
    CHECK(judgement.kind == Kind::object_changed);
    CHECK(judgement.has_no_ranges == each.has_no_ranges);
    CHECK(judgement.failure.error.message.find(each.in_message) != std::string::npos);
    CHECK(judgement.failure.error.message.find("secret") == std::string::npos);
  }
}

TEST_CASE("a size that must be is judged before anything is fetched") {
  Asked asked = first;
  asked.size_bytes = 999;
  for (const HeadJudgement& judgement : {judge(asked, 200, {{"content-length", "1000"}}),
                                         judge(asked, 206, {{"content-range", "bytes 0-99/1000"}})}) {
    CHECK(judgement.kind == Kind::failed);
    CHECK(judgement.failure.error.code == ErrorCode::size_mismatch);
    CHECK_FALSE(judgement.failure.is_passing);
  }
  CHECK(judge(asked, 206, {{"content-range", "bytes 0-99/999"}}).kind == Kind::partial);
  CHECK(judge(asked, 206, {{"content-range", "bytes 0-99/*"}}).kind == Kind::partial);
}

TEST_CASE("encoded bytes are refused; identity is none") {
  const HeadJudgement judgement =
      judge(first, 200, {{"content-encoding", "gzip"}, {"content-length", "1000"}});
  CHECK(judgement.kind == Kind::failed);
  CHECK(judgement.failure.error.code == ErrorCode::http_status);
  CHECK(judgement.failure.error.message.find("gzip") != std::string::npos);
  CHECK(judge(first, 200, {{"content-encoding", "identity"}}).kind == Kind::whole);
}

TEST_CASE("every other status is a failure that passes or does not") {
  const HeadJudgement busy = judge(middle, 503, {{"retry-after", "7"}});
  CHECK(busy.kind == Kind::failed);
  CHECK(busy.failure.is_passing);
  CHECK(busy.failure.wait_ms == 7'000U);
  for (const long status : {204L, 302L, 304L, 401L, 403L, 404L, 410L, 416L}) {
    CAPTURE(status);
    const HeadJudgement judgement = judge(middle, status, {});
    CHECK(judgement.kind == Kind::failed);
    CHECK(judgement.failure.error.code == ErrorCode::http_status);
    CHECK_FALSE(judgement.failure.is_passing);
  }
  CHECK(judge(first, 416, {{"content-range", "bytes */0"}}).kind == Kind::failed);
}

}  // namespace
}  // namespace ggufd::fetch
