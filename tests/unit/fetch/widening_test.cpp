// Connections against networks of several kinds; time is a number here.
#include "fetch/widening.h"

#include <doctest/doctest.h>

namespace ggufd::fetch {
namespace {

// Runs `wanted` connections for a while, a sample each quarter of a second.
struct Network {
  Widening widening;
  std::uint64_t now_ms = 1000;
  std::uint64_t received_bytes = 0;

  explicit Network(std::uint32_t most) : widening(most) {}

  // Not inline: GCC 12, looking through it, takes an empty optional's value for one that is read.
  template <class RateOf>
  [[gnu::noinline]] void run_ms(std::uint64_t duration_ms, RateOf rate_of) {
    for (const std::uint64_t end_ms = now_ms + duration_ms; now_ms < end_ms; now_ms += 250) {
      widening.sample(now_ms, received_bytes, widening.wanted());
      received_bytes += rate_of(widening.wanted()) / 4;
    }
  }
};

TEST_CASE("it begins with one, and with nothing coming stays there") {
  Network network(8);
  CHECK(network.widening.wanted() == 1);
  network.run_ms(10'000, [](std::uint32_t) { return std::uint64_t{0}; });
  CHECK(network.widening.wanted() == 1);
}

TEST_CASE("where each connection brings as much as the first there will be all") {
  Network network(8);
  network.run_ms(6'000, [](std::uint32_t connections) { return connections * std::uint64_t{20'000'000}; });
  CHECK(network.widening.wanted() == 8);
}

TEST_CASE("a limit that is no power of two is reached and not passed") {
  Network network(6);
  network.run_ms(10'000, [](std::uint32_t connections) {
    CHECK(connections <= 6);
    return connections * std::uint64_t{20'000'000};
  });
  CHECK(network.widening.wanted() == 6);
}

TEST_CASE("where the line is full more connections are given up, and tried again after a rest") {
  Network network(8);
  std::uint32_t most_seen = 1;
  const auto full_line = [&](std::uint32_t connections) {
    most_seen = std::max(most_seen, connections);
    return std::uint64_t{20'000'000};
  };
  network.run_ms(5'000, full_line);
  CHECK(most_seen == 2);
  CHECK(network.widening.wanted() == 1);
  most_seen = 1;
  network.run_ms(10'000, full_line);
  CHECK(most_seen == 1);
  network.run_ms(Widening::rest_ms, full_line);
  CHECK(most_seen == 2);
}

TEST_CASE("it stops where the growth does") {
  Network network(64);
  network.run_ms(10'000, [](std::uint32_t connections) {
    return std::min<std::uint64_t>(connections, 4) * std::uint64_t{20'000'000};
  });
  CHECK(network.widening.wanted() == 4);
}

TEST_CASE("what is measured while something else is the limit says nothing") {
  Network network(8);
  for (int i = 0; i < 100; ++i) {
    network.run_ms(250, [](std::uint32_t) { return std::uint64_t{20'000'000}; });
    network.widening.held_back();
  }
  CHECK(network.widening.wanted() == 1);
}

TEST_CASE("nothing is measured while fewer run than are wanted") {
  Widening widening(8);
  for (std::uint64_t i = 0; i < 100; ++i) widening.sample(i * 250, i * 1'000'000, 0);
  CHECK(widening.wanted() == 1);
}

TEST_CASE("narrowed, it goes on from there, and never beyond its bounds") {
  Network network(8);
  network.run_ms(6'000, [](std::uint32_t connections) { return connections * std::uint64_t{20'000'000}; });
  network.widening.narrow(3);
  CHECK(network.widening.wanted() == 3);
  network.widening.narrow(0);
  CHECK(network.widening.wanted() == 1);
  network.widening.narrow(100);
  CHECK(network.widening.wanted() == 8);
  CHECK(Widening(0).wanted() == 1);
}

}  // namespace
}  // namespace ggufd::fetch
