#include "fetch/identity.h"

#include <doctest/doctest.h>

namespace ggufd::fetch {
namespace {

const std::string date = "Sat, 07 Nov 2026 10:00:00 GMT";
const std::string later_date = "Sun, 08 Nov 2026 10:00:00 GMT";

TEST_CASE("If-Range carries a strong tag, else a date, else nothing") {
  CHECK(Identity{.etag = "\"a\"", .last_modified = date}.if_range() == "\"a\"");
  CHECK(Identity{.etag = "W/\"a\"", .last_modified = date}.if_range() == date);
  CHECK(Identity{.etag = "W/\"a\""}.if_range().empty());
  CHECK(Identity{.size_bytes = 5}.if_range().empty());
}

TEST_CASE("another size, another tag or, without tags, another date is another object") {
  const Identity known{.etag = "\"a\"", .last_modified = date, .size_bytes = 5};
  CHECK(known.difference(known).empty());
  CHECK(known.difference({.etag = "\"a\"", .last_modified = date, .size_bytes = 6}) ==
        "it has 6 bytes now and had 5");
  CHECK_FALSE(known.difference({.etag = "\"b\"", .last_modified = date, .size_bytes = 5}).empty());
  CHECK(known.difference({.etag = "\"a\"", .last_modified = later_date}).empty());
  CHECK_FALSE(known.difference({.last_modified = later_date}).empty());
  CHECK_FALSE(Identity{.etag = "\"a\""}.difference({.etag = "W/\"a\""}).empty());
}

TEST_CASE("what only one of the two tells says nothing, and vouches for nothing") {
  const Identity known{.etag = "\"a\"", .last_modified = date, .size_bytes = 5};
  CHECK(known.difference({}).empty());
  CHECK(Identity().difference(known).empty());
  CHECK_FALSE(known.is_vouched_by({.size_bytes = 5}));
  CHECK(known.is_vouched_by({.etag = "\"a\"", .size_bytes = 5}));
  CHECK(known.is_vouched_by({.last_modified = date}));
  CHECK_FALSE(known.is_vouched_by({.etag = "\"b\"", .last_modified = date}));
}

}  // namespace
}  // namespace ggufd::fetch
