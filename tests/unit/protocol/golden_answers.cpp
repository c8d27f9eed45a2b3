#include <string>

#include "golden.h"

namespace ggufd::golden {
namespace {

answer::ModelStatus ready_model() {
  return {.name = "qwen3-4b",
          .state = ModelState::ready,
          .status = StatusKind::ready,
          .availability = {200, "ENABLED", {}},
          .health = Health::ok,
          .since = on_that_day(0, 0, 41, 502),
          .load_ms = 41'500,
          .warm_up_ms = 820,
          .load_count = 1,
          .bytes = 2'497'280'256,
          .sha256 = digest,
          .memory = {2'497'280'256, 1'207'959'552},
          .engine = {Backend::llama_server, 4712, 1, 2, "signal 11 (SIGSEGV)", "warming up the model\n"}};
}

answer::ModelStatus untouched_model() {
  return {.name = "bge-m3",
          .availability = {0, "NONE", {}},
          .since = on_that_day(0, 0, 0),
          .engine = {.restarts_left = 3}};
}

answer::ModelStatus downloading_model() {
  return {.name = "gemma-3",
          .state = ModelState::loading,
          .status = StatusKind::loading_model,
          .phase = PhaseKind::download,
          .availability = {10, "DOWNLOADING", {}},
          .since = on_that_day(0, 0, 42),
          .bytes = 3'338'801'152,
          .engine = {.backend = Backend::resident, .restarts_left = 3}};
}

answer::ModelStatus broken_model() {
  return {.name = "broken",
          .state = ModelState::error,
          .status = StatusKind::error,
          .availability = {500, "ERROR", {"the file has no GGUF magic"}},
          .health = Health::unhealthy,
          .since = on_that_day(0, 0, 43),
          .engine = {.restarts_left = 3}};
}

answer::Plan known_plan() {
  return {.architecture = "qwen3",
          .name = {"Qwen3 4B"},
          .n_ctx = 8192,
          .kv_type_k = "f16",
          .kv_type_v = "f16",
          .weights_bytes = 2'491'340'800,
          .kv_bytes = {1'207'959'552},
          .kv = {answer::PlanKv{.attention_bytes = 1'207'959'552, .cells = 8192, .streams = 1}},
          .compute_bytes = {314'572'800},
          .total_bytes = {4'013'873'152},
          .available_bytes = {8'589'934'592},
          .limits = {{"MemAvailable", 8'589'934'592}, {"memory.max of /user.slice", 17'179'869'184}},
          .fits = {true},
          .largest_n_ctx = {32'768}};
}

answer::Plan unknown_plan() {
  return {.architecture = "new-arch",
          .n_ctx = 4096,
          .kv_unified = false,
          .kv_type_k = "q8_0",
          .kv_type_v = "q4_0",
          .n_ubatch = 256,
          .weights_bytes = 1'048'576,
          .headroom_bytes = 536'870'912,
          .held_bytes = 2'497'280'256,
          .kv_unknown = "the memory of architecture new-arch is not known here"};
}

answer::Doctor findings() {
  using enum answer::Check::Outcome;
  return {.ok = false,
          .checks = {
              {"runtime", "runtime folder", ok, "/run/user/1000/ggufd, mode 0700", ""},
              {"memory", "locked memory", warn, "8 MiB", "raise LimitMEMLOCK"},
              {"engine", "llama-server", fail, "not on PATH", "install llama.cpp or set llama_server.binary"},
              {"network", "sources", skip, "not asked for", ""}}};
}

}  // namespace

std::vector<Answer> answers() {
  return {
      {"1", answer::Ping{.version = "0.1.0", .pid = 4711, .uptime_s = 86'400}},
      {"2",
       answer::Status{
           {ready_model(), untouched_model(), downloading_model(), broken_model()}, "qwen3-4b", 3, 66}},
      {"3", answer::Status{.seq = 1}},
      {"6", answer::Subscribe{66}},
      {"9", answer::State{ModelState::uninitialized}},
      {"10", answer::State{ModelState::loading}},
      {"12", answer::State{ModelState::warming_up}},
      {"11", answer::State{ModelState::ready}},
      {"13", answer::State{ModelState::unloading}},
      {"14", answer::State{ModelState::error}},
      {"23",
       answer::Blob{digest, 2'497'280'256, "/srv/models/blobs/sha256/74/" + std::string(digest) + "/data"}},
      {"22", answer::Done{}},
      {"25", known_plan()},
      {"26", unknown_plan()},
      {"28", findings()},
      {"29", answer::Doctor{}},
  };
}

}  // namespace ggufd::golden
