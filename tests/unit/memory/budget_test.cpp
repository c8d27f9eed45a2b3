// Need against limits.
#include "memory/budget.h"

#include <doctest/doctest.h>

namespace ggufd::memory {
namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20;
constexpr std::uint64_t gib = std::uint64_t{1} << 30;

TEST_CASE("a need is the sum of what is known of it") {
  CHECK(Need{.weights_bytes = 5, .kv_bytes = {}, .compute_bytes = {}}.bytes() == 5);
  CHECK(Need{.weights_bytes = 5, .kv_bytes = 6, .compute_bytes = {}}.bytes() == 11);
  const Need all{.weights_bytes = 5, .kv_bytes = 6, .compute_bytes = 7};
  CHECK(all.bytes() == 18);
  CHECK(all.anonymous_bytes() == 13);
  CHECK(Need{.weights_bytes = UINT64_MAX, .kv_bytes = 1, .compute_bytes = {}}.bytes() == UINT64_MAX);
}

TEST_CASE("the headroom and what others hold are not there for one more") {
  Room room{.limits = {{"MemAvailable", 10 * gib}}, .held = {}};
  CHECK(room.available_bytes() == 10 * gib);
  room.headroom_bytes = gib;
  room.held = {.file_bytes = 2 * gib, .promised_bytes = 3 * gib, .unmapped_bytes = 9 * gib};
  CHECK(room.available_bytes() == 4 * gib);
  CHECK(room.fits({.weights_bytes = 4 * gib, .kv_bytes = {}, .compute_bytes = {}}));
  CHECK_FALSE(room.fits({.weights_bytes = 4 * gib, .kv_bytes = 1, .compute_bytes = {}}));
  room.headroom_bytes = 100 * gib;
  CHECK(room.available_bytes() == 0);
}

TEST_CASE("address space is used up by what is mapped, not by what is in memory") {
  Room room{.limits = {{"MemAvailable", 10 * gib}, {"RLIMIT_AS", 6 * gib, true}},
            .held = {.file_bytes = 9 * gib, .promised_bytes = 0, .unmapped_bytes = gib}};
  CHECK(room.left_below(room.limits[0]) == gib);
  CHECK(room.left_below(room.limits[1]) == 5 * gib);
  CHECK(room.tightest().name == "MemAvailable");
}

TEST_CASE("what the model has taken itself is there for it") {
  Room room{.limits = {{"MemAvailable", 2 * gib}, {"RLIMIT_AS", gib, true}}, .held = {}};
  room.own_anonymous_bytes = 3 * gib;
  room.own_mapped_bytes = 5 * gib;
  CHECK(room.left_below(room.limits[0]) == 5 * gib);
  CHECK(room.left_below(room.limits[1]) == 6 * gib);
}

TEST_CASE("the tightest limit is the one that leaves the least") {
  const Room room{.limits = {{"MemAvailable", 9 * gib},
                             {"memory.max of the cgroup /a", 2 * gib},
                             {"RLIMIT_AS", 4 * gib, true}},
                  .held = {}};
  CHECK(room.tightest().name == "memory.max of the cgroup /a");
  CHECK(room.available_bytes() == 2 * gib);
}

TEST_CASE("the sentences name every number") {
  CHECK(to_string(Need{.weights_bytes = 2 * gib, .kv_bytes = 400 * mib, .compute_bytes = 512}) ==
        "2.39 GiB: weights 2.00 GiB, KV cache 400.0 MiB, compute 512 B");
  CHECK(to_string(Need{.weights_bytes = mib, .kv_bytes = {}, .compute_bytes = {}}) ==
        "1.0 MiB: weights 1.0 MiB");
  Room room{.limits = {{"MemAvailable", 4 * gib}}, .held = {}};
  CHECK(to_string(room) == "4.00 GiB left: MemAvailable 4.00 GiB");
  room.headroom_bytes = 512 * mib;
  room.held.file_bytes = gib;
  room.own_anonymous_bytes = 256 * mib;
  CHECK(to_string(room) ==
        "2.75 GiB left: MemAvailable 4.00 GiB, and 256.0 MiB that it has taken already, less 512.0 MiB of "
        "headroom, "
        "less 1.00 GiB that other models hold");
}

}  // namespace
}  // namespace ggufd::memory
