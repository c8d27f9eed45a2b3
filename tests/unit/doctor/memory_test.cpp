#include "support.h"

namespace ggufd::doctor::test {
namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30;

std::string two_models(const char* others) {
  return fmt::format(
      R"({{"models": [{{"name": "m", "source": "/m.gguf"}}, {{"name": "n", "source": "/n.gguf"}}]{}}})",
      others);
}

TEST_CASE("memory: a plan fits, hardly fits, or does not") {
  Scene scene;
  scene.plans = {planned(2 * gib, 8 * gib)};
  CHECK_FINDING(scene.look("memory", "m"), Outcome::ok, "needs 2.00 GiB for 8192 tokens, 8.00 GiB available");
  scene.plans = {planned(8 * gib - 1, 8 * gib)};
  CHECK_FINDING(scene.look("memory", "m"), Outcome::warn, "are left");
  scene.plans = {planned(9 * gib, 8 * gib)};
  scene.plans.front().plan->largest_n_ctx.value = 4096;
  const auto found = scene.look("memory", "m");
  CHECK_FINDING(found, Outcome::fail, "needs 9.00 GiB");
  CHECK(found.advice.find("n_ctx to 4096") != std::string::npos);
}

TEST_CASE("memory: what is not known is said") {
  Scene scene;
  scene.plans = {planned(9 * gib, 8 * gib)};
  scene.plans.front().plan->total_bytes.value.reset();
  scene.plans.front().plan->kv_unknown = "the architecture is not known";
  CHECK_FINDING(scene.look("memory", "m"), Outcome::warn, "the architecture is not known");
  scene.plans = {{"m", fail(ErrorCode::not_in_store, "it is not in the store yet")}};
  CHECK_FINDING(scene.look("memory", "m"), Outcome::skip, "not in the store");
}

TEST_CASE("memory, together: models that fit one by one") {
  Scene scene;
  scene.configure(two_models(""));
  scene.plans = {planned(3 * gib, 8 * gib), planned(4 * gib, 8 * gib, "n")};
  CHECK_FINDING(scene.look("memory", "together"), Outcome::ok, "need 7.00 GiB together");
  scene.plans = {planned(5 * gib, 8 * gib), planned(4 * gib, 8 * gib, "n")};
  CHECK_FINDING(scene.look("memory", "together"), Outcome::fail, "need 9.00 GiB together");
  scene.configure(two_models(R"(, "evict": "lru")"));
  CHECK_FINDING(scene.look("memory", "together"), Outcome::warn, "push the first ones out");
}

TEST_CASE("memory, mlock: the limit has to be as large as the weights") {
  Scene scene;
  CHECK_FINDING(scene.look("memory", "mlock"), Outcome::skip, "no model asks");
  scene.configure(
      R"({"models": [{"name": "m", "source": "/m.gguf", "mlock": true}, {"name": "n", "source": "/n.gguf", "mlock": true}]})");
  scene.plans = {planned(2 * gib, 8 * gib), planned(2 * gib, 8 * gib, "n")};  // half of it weights
  CHECK_FINDING(scene.look("memory", "mlock"), Outcome::ok, "as much as there is");
  scene.set_limits(std::to_string(2 * gib), "1048576");
  CHECK_FINDING(scene.look("memory", "mlock"), Outcome::ok, "2.00 GiB may be locked, 2 models want 2.00 GiB");
  scene.set_limits(std::to_string(gib), "1048576");
  CHECK_FINDING(scene.look("memory", "mlock"), Outcome::warn, "enough for some");
  scene.set_limits("8388608", "1048576");
  CHECK_FINDING(scene.look("memory", "mlock"), Outcome::fail, "8.0 MiB may be locked");
  scene.put("root/proc/self/status", "CapEff:\t0000000000004000\n");
  CHECK_FINDING(scene.look("memory", "mlock"), Outcome::ok, "as much as there is");
}

TEST_CASE("memory, huge pages: reserved ones that nobody uses are missing elsewhere") {
  Scene scene;
  CHECK_FINDING(scene.look("memory", "huge pages"), Outcome::ok, "when asked for");
  scene.put("root/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
  CHECK_FINDING(scene.look("memory", "huge pages"), Outcome::warn, "are off");
  scene.put("root/proc/meminfo",
            "MemTotal: 1 kB\nMemAvailable: 1 kB\nHugePages_Free: 1024\nHugepagesize: 2048 kB\n");
  CHECK_FINDING(scene.look("memory", "huge pages"), Outcome::warn, "2.00 GiB are reserved");
  scene.plans = {planned(9 * gib, 8 * gib)};
  CHECK_FINDING(scene.look("memory", "huge pages"), Outcome::fail, "a model would fit with them");
}

}  // namespace
}  // namespace ggufd::doctor::test
