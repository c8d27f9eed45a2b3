#include "protocol/state.h"

#include <doctest/doctest.h>

#include <set>

namespace ggufd {
namespace {

ModelView loading(PhaseKind phase) {
  return {.state = ModelState::loading, .phase = phase};
}

struct Row {
  const char* what;
  ModelView view;
  Health health;
  WarmUpState warm_up;
  std::uint32_t code;
  const char* name;
  std::optional<std::string> message = std::nullopt;
};

// The whole table of docs/protocol.md, "State, health, availability".
std::vector<Row> table() {
  using enum PhaseKind;
  constexpr auto starting = Health::starting;
  constexpr auto wait = WarmUpState::loading;
  return {
      {"nobody has asked for a load", {}, starting, wait, 0, "NONE"},
      {"a load before its first phase", {.state = ModelState::loading}, starting, wait, 10, "DOWNLOADING"},
      {"checking_local", loading(checking_local), starting, wait, 10, "DOWNLOADING"},
      {"download", loading(download), starting, wait, 10, "DOWNLOADING"},
      {"verify", loading(verify), starting, wait, 10, "DOWNLOADING"},
      {"quarantine", loading(quarantine), starting, wait, 10, "DOWNLOADING"},
      {"convert", loading(convert), starting, wait, 20, "CONVERTING"},
      {"upload", loading(upload), starting, wait, 30, "UPLOADING"},
      {"mmap", loading(mmap), starting, wait, 30, "UPLOADING"},
      {"kv_cache", loading(kv_cache), starting, wait, 30, "UPLOADING"},
      {"engine_start", loading(engine_start), starting, wait, 30, "UPLOADING"},
      {"warm_up", loading(warm_up), starting, wait, 30, "UPLOADING"},
      {"warming up", {.state = ModelState::warming_up, .phase = warm_up}, starting, wait, 30, "UPLOADING"},
      {"a warning before ready",
       {.state = ModelState::loading, .phase = download, .warning = "slow"},
       starting,
       wait,
       10,
       "DOWNLOADING"},
      {"ready", {.state = ModelState::ready}, Health::ok, WarmUpState::ready, 200, "ENABLED"},
      {"ready with a warning",
       {.state = ModelState::ready, .warning = "no llama-server"},
       Health::ok,
       WarmUpState::ready,
       300,
       "WARNING",
       "no llama-server"},
      {"unloading", {.state = ModelState::unloading}, starting, wait, 0, "NONE"},
      {"unloading after a warning",
       {.state = ModelState::unloading, .warning = "old"},
       starting,
       wait,
       0,
       "NONE"},
      {"an error that is tried again",
       {.state = ModelState::error, .error = "no network"},
       starting,
       wait,
       500,
       "ERROR",
       "no network"},
      {"an error for good",
       {.state = ModelState::error, .error = "no GGUF", .warning = "old", .gave_up = true},
       Health::unhealthy,
       WarmUpState::unhealthy,
       500,
       "ERROR",
       "no GGUF"},
  };
}

TEST_CASE("state: health, warm-up state and availability of every state and phase") {
  for (const auto& row : table()) {
    INFO(row.what);
    CHECK(health_of(row.view) == row.health);
    CHECK(warm_up_state_of(row.view) == row.warm_up);
    const Availability availability = availability_of(row.view);
    CHECK(availability.code == row.code);
    CHECK(availability.name == row.name);
    CHECK(availability.message.value == row.message);
  }
}

TEST_CASE("state: the table above leaves out no state and no phase") {
  std::set<ModelState> states;
  std::set<PhaseKind> phases;
  for (const auto& row : table()) {
    states.insert(row.view.state);
    if (row.view.phase) phases.insert(*row.view.phase);
  }
  CHECK(states.size() == EnumNames<ModelState>.size());
  CHECK(phases.size() == EnumNames<PhaseKind>.size());
}

TEST_CASE("state: the health document's keys and their order") {
  const HealthDocument document{.status = Health::ok,
                                .model = {"qwen3-4b"},
                                .backend = {"resident"},
                                .warm_up_state = WarmUpState::ready,
                                .state = ModelState::ready,
                                .availability = {200, "ENABLED", {}}};
  CHECK(to_json(document) ==
        R"({"status":"ok","model":"qwen3-4b","backend":"resident","warm_up_state":"ready","state":"ready",)"
        R"("availability":{"code":200,"name":"ENABLED","message":null}})");
  CHECK(to_json(HealthDocument{.availability = {0, "NONE", {}}}) ==
        R"({"status":"starting","model":null,"backend":null,"warm_up_state":"loading",)"
        R"("state":"uninitialized","availability":{"code":0,"name":"NONE","message":null}})");
}

}  // namespace
}  // namespace ggufd
