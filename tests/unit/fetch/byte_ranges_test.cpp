// Sets of bytes, against a set that keeps each byte by itself.
#include "fetch/byte_ranges.h"

#include <doctest/doctest.h>

#include <array>
#include <random>

namespace ggufd::fetch {
namespace {

constexpr std::uint64_t no_end = std::numeric_limits<std::uint64_t>::max();

ByteRanges of(std::initializer_list<ByteRange> ranges) {
  ByteRanges set;
  for (const ByteRange& range : ranges) set.add(range);
  return set;
}

TEST_CASE("neighbours and overlaps become one range, others stay apart") {
  CHECK(of({{0, 10}, {10, 20}}).all() == std::map<std::uint64_t, std::uint64_t>{{0, 20}});
  CHECK(of({{10, 20}, {0, 10}}) == of({{0, 20}}));
  CHECK(of({{0, 10}, {20, 30}, {5, 25}}) == of({{0, 30}}));
  CHECK(of({{0, 30}, {10, 20}}) == of({{0, 30}}));
  CHECK(of({{10, 20}, {0, 30}}) == of({{0, 30}}));
  CHECK(of({{0, 10}, {11, 20}}).all().size() == 2);
  CHECK(of({{5, 5}, {7, 3}}).all().empty());
}

TEST_CASE("what is removed is cut out of whatever held it") {
  const auto without = [](ByteRanges set, ByteRange range) {
    set.remove(range);
    return set;
  };
  CHECK(without(of({{0, 30}}), {10, 20}) == of({{0, 10}, {20, 30}}));
  CHECK(without(of({{0, 30}}), {0, 30}) == ByteRanges());
  CHECK(without(of({{0, 10}, {20, 30}, {40, 50}}), {5, 45}) == of({{0, 5}, {45, 50}}));
  CHECK(without(of({{0, 10}, {20, 30}}), {10, 20}) == of({{0, 10}, {20, 30}}));
  CHECK(without(of({{0, 10}}), {3, 3}) == of({{0, 10}}));
  CHECK(without(of({{0, no_end}}), {100, no_end}) == of({{0, 100}}));
}

TEST_CASE("the first gap is the first bytes that are missing") {
  const ByteRanges set = of({{10, 20}, {30, 40}});
  CHECK(set.first_gap(0, 50) == ByteRange{0, 10});
  CHECK(set.first_gap(10, 50) == ByteRange{20, 30});
  CHECK(set.first_gap(25, 50) == ByteRange{25, 30});
  CHECK(set.first_gap(30, 50) == ByteRange{40, 50});
  CHECK(set.first_gap(15, 20) == std::nullopt);
  CHECK(set.first_gap(0, 5) == ByteRange{0, 5});
  CHECK(set.first_gap(40, no_end) == ByteRange{40, no_end});
  CHECK(ByteRanges().first_gap(0, 0) == std::nullopt);
}

TEST_CASE("a run ends where the set does") {
  const ByteRanges set = of({{10, 20}, {30, 40}});
  CHECK(set.end_of_run(0) == 0);
  CHECK(set.end_of_run(10) == 20);
  CHECK(set.end_of_run(19) == 20);
  CHECK(set.end_of_run(20) == 20);
  CHECK(set.end_of_run(35) == 40);
  CHECK(set.contains({10, 20}));
  CHECK_FALSE(set.contains({10, 21}));
  CHECK_FALSE(set.contains({9, 12}));
  CHECK(set.contains({25, 25}));
}

TEST_CASE("any sequence of changes leaves what a plain set of bytes would hold") {
  constexpr std::size_t size = 64;
  std::mt19937 random(7);
  const auto below = [&random](std::size_t bound) {
    return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random);
  };
  for (int round = 0; round < 200; ++round) {
    ByteRanges set;
    std::array<bool, size> plain{};
    for (int step = 0; step < 40; ++step) {
      const std::size_t begin = below(size);
      const std::size_t end = begin + below(size - begin + 1);
      const bool adds = below(3) > 0;
      if (adds) set.add({begin, end});
      if (!adds) set.remove({begin, end});
      for (std::size_t i = begin; i < end; ++i) plain[i] = adds;
      std::uint64_t bytes = 0;
      for (std::size_t i = 0; i < size; ++i) {
        bytes += plain[i] ? 1U : 0U;
        REQUIRE(set.contains({i, i + 1}) == plain[i]);
      }
      REQUIRE(set.size() == bytes);
      std::uint64_t last_end = 0;
      for (const auto& [first, last] : set.all()) {
        REQUIRE(first < last);
        REQUIRE((first > last_end || last_end == 0));
        last_end = last;
      }
    }
  }
}

}  // namespace
}  // namespace ggufd::fetch
