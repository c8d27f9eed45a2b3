#include "fetch/retry_policy.h"

#include <doctest/doctest.h>

namespace ggufd::fetch {
namespace {

TEST_CASE("waits double from half a second to a minute, half of each by chance") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    RetryPolicy retries(40, seed);
    std::uint64_t longest_ms = RetryPolicy::first_wait_ms;
    for (int i = 0; i < 40; ++i) {
      const auto wait_ms = retries.failed(std::nullopt);
      REQUIRE(wait_ms);
      CHECK(*wait_ms >= longest_ms / 2);
      CHECK(*wait_ms <= longest_ms);
      longest_ms = std::min(longest_ms * 2, RetryPolicy::longest_wait_ms);
    }
    CHECK(longest_ms == RetryPolicy::longest_wait_ms);
  }
}

TEST_CASE("those who fail together do not come back together") {
  RetryPolicy one(1, 1);
  bool differ = false;
  for (std::uint64_t seed = 2; seed < 10; ++seed) {
    RetryPolicy other(1, seed);
    RetryPolicy same(1, 1);
    differ = differ || other.failed(std::nullopt) != same.failed(std::nullopt);
  }
  CHECK(differ);
}

TEST_CASE("so many failures in a row are too many, and a byte ends the row") {
  RetryPolicy retries(2);
  CHECK(retries.failed(std::nullopt));
  CHECK(retries.failed(std::nullopt));
  CHECK(retries.failures() == 2);
  CHECK_FALSE(retries.failed(std::nullopt));
  retries.progressed();
  CHECK(retries.failures() == 0);
  CHECK(retries.failed(std::nullopt).value_or(9999) <= RetryPolicy::first_wait_ms);
  CHECK_FALSE(RetryPolicy(0).failed(std::nullopt));
}

TEST_CASE("a server that asks for longer is obeyed, one that asks for less is not") {
  RetryPolicy retries(8);
  CHECK(retries.failed(90'000) == 90'000U);
  CHECK(retries.failed(1).value_or(0) >= RetryPolicy::first_wait_ms);
}

}  // namespace
}  // namespace ggufd::fetch
