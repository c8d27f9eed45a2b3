// The limit over all transfers, on the loop's clock.
#include "fetch/rate_limit.h"

#include "support.h"

namespace ggufd::fetch {
namespace {

using namespace test;

// Takes `piece` bytes whenever it may.
struct Taker {
  RateLimit& limit;
  std::uint64_t piece;
  std::uint64_t taken = 0;
  RateLimit::Waiter waiter{limit, [this] { take_all(); }};

  Taker(RateLimit& limit_in, std::uint64_t piece_in) : limit(limit_in), piece(piece_in) {}
  void take_all() {
    while (limit.bytes_per_second() > 0 && limit.has_room()) {
      limit.take(piece);
      taken += piece;
    }
  }
};

// The bytes that `takers` have got after so long.
std::uint64_t taken_within(loop::Loop& loop, const std::vector<std::unique_ptr<Taker>>& takers,
                           std::uint64_t duration_ms) {
  uv_update_time(loop.raw());
  const std::uint64_t end_ms = loop.now_ms() + duration_ms;
  for (const auto& taker : takers) taker->take_all();
  REQUIRE(run_until(loop, [&] { return loop.now_ms() >= end_ms; }));
  std::uint64_t taken = 0;
  for (const auto& taker : takers) taken += taker->taken;
  return taken;
}

TEST_CASE("without a limit there is always room") {
  loop::Loop loop;
  RateLimit limit(loop);
  limit.take(std::uint64_t{1} << 40);
  CHECK(limit.has_room());
}

TEST_CASE("the average over a second is the limit, whatever the size of a read and whoever reads") {
  for (const std::uint64_t piece : {1'000U, 200'000U}) {
    CAPTURE(piece);
    loop::Loop loop;
    RateLimit limit(loop, 1'000'000);
    std::vector<std::unique_ptr<Taker>> takers;
    for (int i = 0; i < 3; ++i) takers.push_back(std::make_unique<Taker>(limit, piece));
    const std::uint64_t taken = taken_within(loop, takers, 1'000);
    // One read may overdraw, and a loaded machine comes late.
    CHECK(taken <= 1'300'000 + piece);
    CHECK(taken >= 700'000);
    for (const auto& taker : takers) CHECK(taker->taken > 0);
  }
}

TEST_CASE("a debt makes others wait, and a new limit forgives it") {
  loop::Loop loop;
  RateLimit limit(loop, 1000);
  limit.take(1'000'000'000);  // days
  CHECK_FALSE(limit.has_room());
  int asked = 0;
  const RateLimit::Waiter waiter(limit, [&] { ++asked; });
  limit.set(2000);
  REQUIRE(run_until(loop, [&] { return asked > 0; }));
  CHECK(limit.has_room());
  limit.take(1'000'000'000);
  CHECK_FALSE(limit.has_room());
  asked = 0;
  limit.set(0);
  CHECK(limit.has_room());
  REQUIRE(run_until(loop, [&] { return asked > 0; }));
}

TEST_CASE("one who has gone is not asked, whenever that was") {
  loop::Loop loop;
  RateLimit limit(loop, 1000);
  std::vector<std::string> asked;
  std::unique_ptr<RateLimit::Waiter> second;
  const RateLimit::Waiter first(limit, [&] {
    asked.emplace_back("first");
    second.reset();
  });
  second = std::make_unique<RateLimit::Waiter>(limit, [&] { asked.emplace_back("second"); });
  limit.set(2000);
  REQUIRE(run_until(loop, [&] { return !asked.empty(); }));
  loop.run();
  CHECK(asked == std::vector<std::string>{"first"});
}

TEST_CASE("those who wait take turns in being the first") {
  loop::Loop loop;
  RateLimit limit(loop, 1000);
  std::string asked;
  const RateLimit::Waiter a(limit, [&] { asked += 'a'; });
  const RateLimit::Waiter b(limit, [&] { asked += 'b'; });
  for (const char* expected : {"ab", "abba"}) {
    limit.set(1000);
    REQUIRE(run_until(loop, [&] { return asked.size() >= std::string_view(expected).size(); }));
    loop.run();
    CHECK(asked == expected);
  }
}

}  // namespace
}  // namespace ggufd::fetch
