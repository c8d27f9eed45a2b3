// A plan as it is told, and what would fit where it doesn't.
#include "memory/plan_answer.h"

#include <doctest/doctest.h>

#include <span>

#include "gguf/validate.h"
#include "tests/support/gguf_builder.h"

namespace ggufd::memory {
namespace {

using ggufd::test::GgufBuilder;
using ggufd::test::llama_model;

constexpr std::uint64_t gib = std::uint64_t{1} << 30;

gguf::MemoryPlanner planner_of(const GgufBuilder& builder) {
  const auto bytes = builder.build();
  const auto header = gguf::read_model(std::as_bytes(std::span(bytes)), bytes.size());
  REQUIRE(header);
  return gguf::MemoryPlanner(*header);
}

gguf::MemoryPlanner stranger() {
  GgufBuilder builder;
  builder.add("general.architecture", "neverheardof").tensor("t", "f32", {64});
  return planner_of(builder);
}

Room room_of(std::uint64_t available_bytes) {
  return {.limits = {{"MemAvailable", available_bytes}}, .held = {}};
}

TEST_CASE("a plan is told with its parts, and whether it fits") {
  const auto planner = planner_of(llama_model());
  const gguf::MemorySettings settings{.n_ctx = 512};
  const auto plan = planner.plan(settings);
  REQUIRE(plan);
  REQUIRE(plan->total_bytes);
  const Room enough = room_of(*plan->total_bytes);
  const auto answer = plan_answer(planner, settings, &enough);
  REQUIRE(answer);
  CHECK(answer->architecture == "llama");
  CHECK(answer->n_ctx == 512);
  CHECK(answer->kv_type_k == "f16");
  CHECK(answer->weights_bytes == plan->weights_bytes);
  CHECK(answer->kv_bytes.value == plan->kv->bytes());
  CHECK(answer->kv.value->cells == 512);
  CHECK(answer->total_bytes.value == plan->total_bytes);
  CHECK(answer->available_bytes.value == plan->total_bytes);
  CHECK(answer->limits == std::vector{answer::MemoryLimit{"MemAvailable", *plan->total_bytes}});
  CHECK(answer->fits.value == true);

  const Room short_by_one = room_of(*plan->total_bytes - 1);
  CHECK(plan_answer(planner, settings, &short_by_one)->fits.value == false);
}

TEST_CASE("without the machine's memory what depends on it is null") {
  const auto answer = plan_answer(planner_of(llama_model()), {.n_ctx = 512}, nullptr);
  REQUIRE(answer);
  CHECK_FALSE(answer->available_bytes.value);
  CHECK_FALSE(answer->fits.value);
  CHECK_FALSE(answer->largest_n_ctx.value);
  CHECK(answer->limits.empty());
}

TEST_CASE("what can't be known is null, never a guess") {
  const auto planner = stranger();
  const Room room = room_of(gib);
  const auto answer = plan_answer(planner, {}, &room);
  REQUIRE(answer);
  CHECK(answer->architecture == "neverheardof");
  CHECK(answer->weights_bytes == 256);
  CHECK_FALSE(answer->kv_bytes.value);
  CHECK_FALSE(answer->kv.value);
  CHECK_FALSE(answer->total_bytes.value);
  CHECK_FALSE(answer->largest_n_ctx.value);
  CHECK(answer->kv_unknown.value_or("").find("neverheardof") != std::string::npos);
  // The weights fit, and the rest is not known; that they don't fit is.
  CHECK_FALSE(answer->fits.value);
  const Room too_small = room_of(255);
  CHECK(plan_answer(planner, {}, &too_small)->fits.value == false);
}

TEST_CASE("settings that are no settings are refused by name") {
  const auto answer = plan_answer(planner_of(llama_model()), {.type_k = "q3_K"}, nullptr);
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == ErrorCode::bad_field);
}

TEST_CASE("what would fit: the largest context, and larger ones with smaller caches") {
  const auto planner = planner_of(llama_model());
  const gguf::MemorySettings settings{.n_ctx = 1024};
  const auto two_blocks = planner.plan({.n_ctx = 512});
  REQUIRE(two_blocks);
  const auto found = alternatives(planner, settings, *two_blocks->total_bytes);
  REQUIRE(found.size() >= 2);
  CHECK(found[0] == Alternative{"f16", "f16", 512});
  CHECK(found[1].type_k == "q8_0");
  for (const Alternative& each : found) {
    const auto plan = planner.plan({.n_ctx = static_cast<std::uint32_t>(each.largest_n_ctx),
                                    .type_k = each.type_k,
                                    .type_v = each.type_v});
    CHECK(*plan->total_bytes <= *two_blocks->total_bytes);
  }
  CHECK(alternatives(planner, settings, 10).empty());
  CHECK(alternatives(stranger(), settings, gib).empty());
}

TEST_CASE("the sentence of a shortage has the need, the room and the way out") {
  const auto planner = planner_of(llama_model());
  const gguf::MemorySettings settings{.n_ctx = 1024};
  const Need need = need_of(*planner.plan(settings));
  const Room room = room_of(*planner.plan({.n_ctx = 512})->total_bytes);
  const std::string text = shortage("m", planner, settings, need, room);
  CHECK(text.find("m needs at least " + to_string(need)) == 0);
  CHECK(text.find(to_string(room)) != std::string::npos);
  CHECK(text.find("what would fit: n_ctx 512 with a cache of f16") != std::string::npos);
  CHECK(text.find("of q8_0") != std::string::npos);
  CHECK(shortage("m", planner, settings, need, room_of(1)).find("not even the shortest context") !=
        std::string::npos);
}

}  // namespace
}  // namespace ggufd::memory
