#include "engine/restart_policy.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

namespace ggufd::engine {
namespace {

config::LlamaServerConfig settings(std::uint32_t restart_max, std::uint32_t min_stable_uptime_s = 30) {
  config::LlamaServerConfig server;
  server.restart_max = restart_max;
  server.min_stable_uptime_s = min_stable_uptime_s;
  server.backoff_initial_ms = 500;
  server.backoff_max_ms = 3000;
  return server;
}

// The waits of ends that follow one another, until the budget is spent.
std::vector<std::uint64_t> delays(RestartPolicy& policy, std::uint64_t uptime_ms) {
  std::vector<std::uint64_t> all;
  while (const auto restart = policy.ended(uptime_ms)) {
    all.push_back(restart->delay_ms);
    if (all.size() == 100) break;
  }
  return all;
}

TEST_CASE("the wait doubles up to its maximum, and the budget is spent one by one") {
  RestartPolicy policy(settings(5));
  CHECK(policy.restarts_left() == 5);
  const auto first = policy.ended(0);
  REQUIRE(first.has_value());
  CHECK(first->delay_ms == 500);
  CHECK(first->restarts_left == 4);
  CHECK(delays(policy, 0) == std::vector<std::uint64_t>{1000, 2000, 3000, 3000});
  CHECK(policy.restarts() == 5);
  CHECK(policy.restarts_left() == 0);
  CHECK_FALSE(policy.ended(29'999).has_value());
  CHECK(policy.restarts() == 5);
}

TEST_CASE("without a budget there is no restart") {
  RestartPolicy policy(settings(0));
  CHECK_FALSE(policy.ended(0).has_value());
  CHECK_FALSE(policy.ended(3'600'000).has_value());
}

TEST_CASE("a stable uptime gives budget and back-off back, a shorter one does not") {
  RestartPolicy policy(settings(2));
  CHECK(policy.ended(29'999)->delay_ms == 500);
  CHECK(policy.ended(29'999)->delay_ms == 1000);
  CHECK_FALSE(policy.ended(29'999).has_value());
  const auto restart = policy.ended(30'000);
  REQUIRE(restart.has_value());
  CHECK(restart->delay_ms == 500);
  CHECK(restart->restarts_left == 1);
  CHECK(policy.restarts() == 3);  // those of before are counted, too
}

TEST_CASE("where no uptime is asked for, being ready is enough, and never being ready is not") {
  RestartPolicy policy(settings(1, 0));
  CHECK(delays(policy, 1).size() == 100);
  CHECK(policy.restarts_left() == 0);
  CHECK_FALSE(policy.ended(0).has_value());
}

TEST_CASE("no wait stays no wait, and the longest does not overflow") {
  auto server = settings(1000);
  server.backoff_initial_ms = 0;
  RestartPolicy eager(server);
  CHECK(eager.ended(0)->delay_ms == 0);
  CHECK(eager.ended(0)->delay_ms == 0);
  server.backoff_initial_ms = server.backoff_max_ms = 0xFFFF'FFFF;
  server.min_stable_uptime_s = 0xFFFF'FFFF;
  RestartPolicy patient(server);
  for (int i = 0; i < 1000; ++i) CHECK(patient.ended(1)->delay_ms == 0xFFFF'FFFF);
  CHECK_FALSE(patient.ended(4'294'967'294'999).has_value());
  CHECK(patient.ended(4'294'967'295'000).has_value());
}

}  // namespace
}  // namespace ggufd::engine
