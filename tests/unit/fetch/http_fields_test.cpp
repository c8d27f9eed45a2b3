// What header fields say, right and wrong ones.
#include "fetch/http_fields.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

namespace ggufd::fetch {
namespace {

constexpr std::int64_t in_2026_s = 1'780'000'000;
constexpr std::int64_t rfc_example_s = 784'111'777;  // 06 Nov 1994 08:49:37, RFC 9110 section 5.6.7

TEST_CASE("a size is digits, all of them, up to 2^64 - 1") {
  CHECK(parse_size("0") == 0U);
  CHECK(parse_size("18446744073709551615") == UINT64_MAX);
  for (const char* text : {"", " 1", "1 ", "+1", "-1", "0x1", "1e3", "1,1", "18446744073709551616"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_size(text));
  }
}

TEST_CASE("a content range is a range, its file's size, or both") {
  CHECK(parse_content_range("bytes 0-499/1234") == ContentRange{ByteRange{0, 500}, 1234});
  CHECK(parse_content_range("bytes 0-0/1") == ContentRange{ByteRange{0, 1}, 1});
  CHECK(parse_content_range("bytes 500-1233/*") == ContentRange{ByteRange{500, 1234}, std::nullopt});
  CHECK(parse_content_range("bytes */1234") == ContentRange{std::nullopt, 1234});
  CHECK(parse_content_range(" Bytes 1-2/3 ") == ContentRange{ByteRange{1, 3}, 3});
  CHECK(parse_content_range("bytes 0-18446744073709551614/*") ==
        ContentRange{ByteRange{0, UINT64_MAX}, std::nullopt});
}

TEST_CASE("a content range that can't be is none") {
  for (const char* text : {"",
                           "bytes",
                           "bytes ",
                           "bytes 0-499",
                           "bytes=0-499/1234",
                           "items 0-1/2",
                           "bytes 2-1/3",
                           "bytes 0-3/3",
                           "bytes 5-9/0",
                           "bytes */*",
                           "bytes -1/3",
                           "bytes 1-/3",
                           "bytes 1/3",
                           "bytes 0-1/",
                           "bytes 0-1/3/4",
                           "bytes 0-1/-",
                           "bytes  0-1/3",
                           "bytes 0 - 1/3",
                           "bytes 0-1,2-3/9",
                           "bytes 0-18446744073709551615/*",
                           "bytes 0-18446744073709551616/*",
                           "bytes 0x0-0x1/3",
                           "bytes 0-1/18446744073709551616"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_content_range(text));
  }
}

TEST_CASE("an entity tag stays as it is, and nothing else is one") {
  for (const std::string tag : {R"("a")", R"("")", R"(W/"a")", R"("!#~\")"}) {
    CAPTURE(tag);
    CHECK(parse_etag(tag) == tag);
    CHECK(parse_etag(" " + tag + " ") == tag);
  }
  for (const char* text : {"", "\"", "a", "\"a", "a\"", "w/\"a\"", "W/a", "W/\"", "\"a\"b\"", "\"a b\"",
                           "\"a\", \"b\"", "\"\x80\"", "\"\x7F\"", "\"\x01\"", "*"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_etag(text));
  }
  const auto tag_of_bytes = [](std::size_t bytes) { return '"' + std::string(bytes - 2, 'a') + '"'; };
  CHECK(parse_etag(tag_of_bytes(max_etag_bytes)));
  CHECK_FALSE(parse_etag(tag_of_bytes(max_etag_bytes + 1)));
}

TEST_CASE("a weak tag is not strong") {
  CHECK(is_strong(R"("a")"));
  CHECK_FALSE(is_strong(R"(W/"a")"));
  CHECK_FALSE(is_strong(""));
}

TEST_CASE("a linked etag of 64 hex digits is a digest, any other tag is not") {
  const std::string hex(64, 'a');
  for (const std::string& text : {hex, '"' + hex + '"', "W/\"" + hex + '"', std::string(64, 'A')}) {
    CAPTURE(text);
    REQUIRE(parse_linked_etag(text));
    CHECK(parse_linked_etag(text)->to_hex() == hex);
  }
  for (const std::string& text : {std::string(), hex.substr(1), hex + "a", '"' + hex, hex.substr(1) + "g",
                                  hex.substr(0, 40), "\"\"" + hex + "\"\""}) {
    CAPTURE(text);
    CHECK_FALSE(parse_linked_etag(text));
  }
}

TEST_CASE("a commit is 40 hex digits in lower case") {
  const std::string hash = "0123456789abcdef0123456789abcdef01234567";
  CHECK(parse_commit(hash) == hash);
  for (const std::string& text : {std::string(), std::string("main"), hash + "0", hash.substr(1),
                                  std::string(40, 'A'), hash.substr(1) + "/"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_commit(text));
  }
}

TEST_CASE("a date has three forms") {
  for (const char* text :
       {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"}) {
    CAPTURE(text);
    CHECK(parse_http_date(text, in_2026_s) == rfc_example_s);
  }
  CHECK(parse_http_date("Thu, 01 Jan 1970 00:00:00 GMT", 0) == 0);
  CHECK(parse_http_date("Thu, 29 Feb 2024 23:59:60 GMT", 0) == 1'709'251'200);
  CHECK(parse_http_date("Sat Nov 12 08:49:37 1994", 0) == rfc_example_s + 6 * 86'400);
}

TEST_CASE("a year of two digits is at most 50 years ahead") {
  CHECK(parse_http_date("Sunday, 06-Nov-76 00:00:00 GMT", in_2026_s) == 3'371'846'400);  // 2076
  CHECK(parse_http_date("Sunday, 06-Nov-77 00:00:00 GMT", in_2026_s) == 247'622'400);    // 1977
  // Whatever the clock says.
  for (const std::int64_t now_s : {INT64_MIN, INT64_MAX})
    CHECK(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT", now_s));
}

TEST_CASE("what is no date is none") {
  for (const char* text :
       {"", "Sun", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:00 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT", "Son, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT ; x", "Sunday, 06-Nov-1994 08:49:37 GMT", "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT", "Sun, 06 Nov -994 08:49:37 GMT", "784111777"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_http_date(text, in_2026_s));
  }
}

TEST_CASE("Retry-After is seconds or a date") {
  CHECK(parse_retry_after("0", 0) == 0U);
  CHECK(parse_retry_after(" 120 ", 0) == 120'000U);
  CHECK(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", rfc_example_s - 90) == 90'000U);
  CHECK(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", rfc_example_s) == 0U);
  CHECK(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", in_2026_s) == 0U);
  CHECK(parse_retry_after("18446744073709551615", 0) == UINT64_MAX);
  CHECK(parse_retry_after("99999999999999999999999", 0) == UINT64_MAX);
  for (const char* text : {"", "-1", "1.5", "soon", "1 2", "12s"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_retry_after(text, 0));
  }
}

TEST_CASE("a rate limit is the longest wait of the quotas that are used up") {
  CHECK(parse_rate_limit(R"("api";r=0;t=55)") == 55'000U);
  CHECK(parse_rate_limit(R"("api|pages";t=55;r=0)") == 55'000U);
  CHECK(parse_rate_limit(R"("api"; r=0; t=55 , "day";r=0;t=300,"hour";r=9;t=3600)") == 300'000U);
  CHECK(parse_rate_limit(R"(default;r=0;t=5)") == 5'000U);
  CHECK(parse_rate_limit(R"("a;r=1\",";r=0;t=1;pk=:aGk=:;x;y=?1;z=1.5)") == 1'000U);
  CHECK(parse_rate_limit(R"("api";r=0;t=999999999999999)") == 999'999'999'999'999'000U);
  // The last one of a key counts (RFC 8941 section 3.1.2).
  CHECK(parse_rate_limit(R"("api";r=5;t=1;r=0)") == 1'000U);
}

TEST_CASE("a rate limit that leaves requests, or says nothing of them, asks for no wait") {
  for (const char* text : {R"("api";r=1;t=55)", R"("api";r=0)", R"("api";t=55)", R"("api")", R"("api";r;t=5)",
                           R"("api";r=-0;t=5)", R"("api";r=0;t=-5)", R"("api";r="0";t=5)"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_rate_limit(text));
  }
}

TEST_CASE("a rate limit that is not well-formed says nothing at all") {
  for (const char* text : {"",
                           " ",
                           ",",
                           R"("api";r=0;t=55,)",
                           R"("api;r=0;t=55)",
                           R"("api" "b";r=0;t=5)",
                           R"("api";r=0;t=)",
                           R"("api";R=0;t=55)",
                           R"("api";r=0;t=5;)",
                           R"("api";r=0;t=1234567890123456)",
                           R"("a\b";r=0;t=5)",
                           "\"\x01\";r=0;t=5",
                           R"("api";r=0;t=5;x=?2)",
                           R"("api";r=0;t=5;x=:a)",
                           R"("api";r=0;t=5;x=1.)",
                           R"(=;r=0;t=5)",
                           R"("api";r=0;t=5 x)",
                           "limit=100, remaining=0, reset=5",
                           R"("api";r=0;t=5;x=")",
                           "\"a\\"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_rate_limit(text));
  }
}

}  // namespace
}  // namespace ggufd::fetch
