#include <doctest/doctest.h>

#include <limits>

#include "protocol/fields.h"

namespace ggufd {
namespace {

TEST_CASE("timestamp: known moments, both directions") {
  const struct {
    std::int64_t ms;
    const char* text;
  } cases[] = {
      {0, "1970-01-01T00:00:00.000Z"},
      {1, "1970-01-01T00:00:00.001Z"},
      {-1, "1969-12-31T23:59:59.999Z"},
      {951'782'400'000, "2000-02-29T00:00:00.000Z"},
      {951'868'799'999, "2000-02-29T23:59:59.999Z"},
      {1'779'062'400'000, "2026-05-18T00:00:00.000Z"},
      {1'830'297'599'987, "2027-12-31T23:59:59.987Z"},
      {4'107'542'400'000, "2100-03-01T00:00:00.000Z"},
      {-62'167'219'200'000, "0000-01-01T00:00:00.000Z"},
      {253'402'300'799'999, "9999-12-31T23:59:59.999Z"},
  };
  for (const auto& [ms, text] : cases) {
    CHECK(to_string(Timestamp{ms}) == text);
    REQUIRE_MESSAGE(parse_timestamp(text).has_value(), text);
    CHECK(parse_timestamp(text)->ms == ms);
  }
}

TEST_CASE("timestamp: a day of each month of 800 years makes the round trip") {
  constexpr std::int64_t day_ms = 86'400'000;
  for (std::int64_t day = -146'097; day < 146'097; day += 29) {
    const Timestamp moment{day * day_ms + day % 1000 + 43'200'000};
    CHECK(parse_timestamp(to_string(moment)) == moment);
  }
}

TEST_CASE("timestamp: leap days are there in leap years only") {
  CHECK(parse_timestamp("2024-02-29T12:00:00.000Z").has_value());
  CHECK(parse_timestamp("2000-02-29T12:00:00.000Z").has_value());
  CHECK_FALSE(parse_timestamp("2023-02-29T12:00:00.000Z").has_value());
  CHECK_FALSE(parse_timestamp("1900-02-29T12:00:00.000Z").has_value());
  CHECK_FALSE(parse_timestamp("2024-02-30T12:00:00.000Z").has_value());
}

TEST_CASE("timestamp: what is not the one form is refused") {
  for (const char* text : {
           "",
           "now",
           "2026-05-18",
           "2026-05-18T00:00:00Z",
           "2026-05-18T00:00:00.00Z",
           "2026-05-18T00:00:00.0000Z",
           "2026-05-18T00:00:00.000",
           "2026-05-18T00:00:00.000z",
           "2026-05-18t00:00:00.000Z",
           "2026-05-18 00:00:00.000Z",
           "2026-05-18T00:00:00,000Z",
           "2026-05-18T00:00:00.000+",
           " 026-05-18T00:00:00.000Z",
           "+026-05-18T00:00:00.000Z",
           "-026-05-18T00:00:00.000Z",
           "2026-05-18T00:00:00.000Z ",
           "2026-00-18T00:00:00.000Z",
           "2026-13-18T00:00:00.000Z",
           "2026-05-00T00:00:00.000Z",
           "2026-05-32T00:00:00.000Z",
           "2026-04-31T00:00:00.000Z",
           "2026-05-18T24:00:00.000Z",
           "2026-05-18T00:60:00.000Z",
           "2026-05-18T00:00:60.000Z",
           "9999-12-31T23:59:60.000Z",
           "2026-05-18T0x:00:00.000Z",
           "2026-05-18T00:00:00.-01Z",
       }) {
    CHECK_MESSAGE(!parse_timestamp(text).has_value(), text);
  }
}

TEST_CASE("timestamp: moments that the form cannot hold are written as the nearest one") {
  CHECK(to_string(Timestamp{std::numeric_limits<std::int64_t>::max()}) == "9999-12-31T23:59:59.999Z");
  CHECK(to_string(Timestamp{std::numeric_limits<std::int64_t>::min()}) == "0000-01-01T00:00:00.000Z");
}

TEST_CASE("timestamp: now has the form too") {
  const Timestamp now = Timestamp::now();
  CHECK(now > *parse_timestamp("2026-01-01T00:00:00.000Z"));
  CHECK(parse_timestamp(to_string(now)) == now);
}

}  // namespace
}  // namespace ggufd
