// What a request is answered: one struct a verb that has something to say (docs/protocol.md, "Requests").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "protocol/error.h"
#include "protocol/fields.h"
#include "protocol/state.h"
#include "protocol/status_event.h"

namespace ggufd::answer {

struct Ping {
  std::string version;
  std::uint32_t protocol = 1;
  std::int64_t pid = 0;
  std::uint64_t uptime_s = 0;

  static void fields(auto& self, auto&& f) {
    f("version", self.version, "the daemon's version");
    f("protocol", self.protocol, "the version of this protocol: 1");
    f("pid", self.pid, "the daemon's process");
    f("uptime_s", self.uptime_s, "seconds since it started");
  }
  friend bool operator==(const Ping&, const Ping&) = default;
};

struct ModelMemory {
  std::uint64_t mapped = 0;
  std::uint64_t kv = 0;

  static void fields(auto& self, auto&& f) {
    f("mapped", self.mapped, "bytes of the model that are mapped");
    f("kv", self.kv, "bytes of its KV cache");
  }
  friend bool operator==(const ModelMemory&, const ModelMemory&) = default;
};

struct EngineStatus {
  std::optional<Backend> backend;
  std::optional<std::int64_t> pid;
  std::uint32_t restarts = 0;
  std::uint32_t restarts_left = 0;
  std::optional<std::string> last_exit;
  std::optional<std::string> stderr_tail;

  static void fields(auto& self, auto&& f) {
    f("backend", self.backend, "resident or llama-server, once one is chosen");
    f("pid", self.pid, "its process, while there is one");
    f("restarts", self.restarts, "restarts since the load");
    f("restarts_left", self.restarts_left, "restarts that the budget still has");
    f("last_exit", self.last_exit, "how its last process ended");
    f("stderr_tail", self.stderr_tail, "the last that it said");
  }
  friend bool operator==(const EngineStatus&, const EngineStatus&) = default;
};

struct ModelStatus {
  std::string name;
  ModelState state = ModelState::uninitialized;
  std::optional<StatusKind> status;
  std::optional<PhaseKind> phase;
  Availability availability;
  Health health = Health::starting;
  Timestamp since;
  std::optional<std::uint64_t> load_ms;
  std::optional<std::uint64_t> warm_up_ms;
  std::uint64_t load_count = 0;
  std::optional<std::uint64_t> bytes;
  std::optional<std::string> sha256;
  ModelMemory memory;
  EngineStatus engine;

  static void fields(auto& self, auto&& f) {
    f("name", self.name, "the model's name");
    f("state", self.state, "the state machine's state");
    f("status", self.status, "the last published status; absent before the first");
    f("phase", self.phase, "the running phase");
    f("availability", self.availability, "code, name and message");
    f("health", self.health, "ok, starting or unhealthy");
    f("since", self.since, "when the state was entered");
    f("load_ms", self.load_ms, "milliseconds of the last load that reached ready");
    f("warm_up_ms", self.warm_up_ms, "milliseconds of its warm-up");
    f("load_count", self.load_count, "loads that reached ready");
    f("bytes", self.bytes, "size of the model's file; absent while unknown");
    f("sha256", self.sha256, "its digest; absent while unknown");
    f("memory", self.memory, "what it holds");
    f("engine", self.engine, "what runs it");
  }
  friend bool operator==(const ModelStatus&, const ModelStatus&) = default;
};

struct Status {
  std::vector<ModelStatus> models;
  std::optional<std::string> default_model;
  std::uint64_t subscribers = 0;
  std::uint64_t seq = 0;

  static void fields(auto& self, auto&& f) {
    f("models", self.models, "one entry a model, in the configuration's order");
    f("default_model", self.default_model, "the default model's name");
    f("subscribers", self.subscribers, "connections that get events");
    f("seq", self.seq, "the last published event's");
  }
  friend bool operator==(const Status&, const Status&) = default;
};

struct Subscribe {
  std::uint64_t seq = 0;

  static void fields(auto& self, auto&& f) {
    f("seq", self.seq, "the last published event's; later ones follow");
  }
  friend bool operator==(const Subscribe&, const Subscribe&) = default;
};

// Of load, unload, reload and cancel.
struct State {
  ModelState state = ModelState::uninitialized;

  static void fields(auto& self, auto&& f) { f("state", self.state, "the state it leads to, or has led to"); }
  friend bool operator==(const State&, const State&) = default;
};

// Of pull and verify.
struct Blob {
  std::string sha256;
  std::uint64_t bytes = 0;
  std::string path;

  static void fields(auto& self, auto&& f) {
    f("sha256", self.sha256, "the digest that was computed");
    f("bytes", self.bytes, "the size");
    f("path", self.path, "where the file lies");
  }
  friend bool operator==(const Blob&, const Blob&) = default;
};

// Of unsubscribe, drain, and pull with `wait` false.
struct Done {
  static void fields(auto&, auto&&) {}
  friend bool operator==(const Done&, const Done&) = default;
};

struct Check {
  enum class Outcome : std::uint8_t { ok, warn, fail, skip };

  std::string group;
  std::string name;
  Outcome result = Outcome::ok;
  std::string found;
  std::string advice;

  static void fields(auto& self, auto&& f) {
    f("group", self.group, "what the check belongs to");
    f("name", self.name, "what is checked");
    f("result", self.result, "ok, warn, fail or skip");
    f("found", self.found, "what was found");
    f("advice", self.advice, "what to do; empty where there is nothing to do");
  }
  friend bool operator==(const Check&, const Check&) = default;
};

struct Doctor {
  bool ok = true;
  std::vector<Check> checks;

  static void fields(auto& self, auto&& f) {
    f("ok", self.ok, "no check failed");
    f("checks", self.checks, "each check with its outcome");
  }
  friend bool operator==(const Doctor&, const Doctor&) = default;
};

struct MemoryLimit {
  std::string name;
  std::uint64_t bytes = 0;

  static void fields(auto& self, auto&& f) {
    f("name", self.name, "where the limit comes from");
    f("bytes", self.bytes, "what it leaves free");
  }
  friend bool operator==(const MemoryLimit&, const MemoryLimit&) = default;
};

struct PlanKv {
  std::uint64_t attention_bytes = 0;
  std::uint64_t recurrent_bytes = 0;
  std::uint64_t cells = 0;
  std::uint64_t swa_cells = 0;
  std::uint64_t streams = 0;

  static void fields(auto& self, auto&& f) {
    f("attention_bytes", self.attention_bytes, "K and V of the attention layers");
    f("recurrent_bytes", self.recurrent_bytes, "state of the recurrent layers");
    f("cells", self.cells, "cells of a full-context layer");
    f("swa_cells", self.swa_cells, "cells of a sliding-window layer");
    f("streams", self.streams, "separate caches");
  }
  friend bool operator==(const PlanKv&, const PlanKv&) = default;
};

// What can't be known is null, never a guess.
struct Plan {
  std::string architecture;
  Nullable<std::string> name;
  std::uint64_t n_ctx = 0;
  std::uint32_t n_seq = 1;
  bool kv_unified = true;
  std::string kv_type_k;
  std::string kv_type_v;
  std::uint32_t n_ubatch = 512;
  std::uint64_t weights_bytes = 0;
  Nullable<std::uint64_t> kv_bytes;
  Nullable<PlanKv> kv;
  Nullable<std::uint64_t> compute_bytes;
  Nullable<std::uint64_t> total_bytes;
  Nullable<std::uint64_t> available_bytes;
  std::vector<MemoryLimit> limits;
  Nullable<bool> fits;
  Nullable<std::uint32_t> largest_n_ctx;
  std::optional<std::uint64_t> headroom_bytes;
  std::optional<std::uint64_t> held_bytes;
  std::optional<std::string> kv_unknown;

  static void fields(auto& self, auto&& f) {
    f("architecture", self.architecture, "general.architecture of the file");
    f("name", self.name, "general.name of the file");
    f("n_ctx", self.n_ctx, "context length in tokens");
    f("n_seq", self.n_seq, "sequences served at a time");
    f("kv_unified", self.kv_unified, "one KV cache for all sequences");
    f("kv_type_k", self.kv_type_k, "element type of the keys");
    f("kv_type_v", self.kv_type_v, "element type of the values");
    f("n_ubatch", self.n_ubatch, "tokens computed at a time");
    f("weights_bytes", self.weights_bytes, "the tensors");
    f("kv_bytes", self.kv_bytes, "the KV cache");
    f("kv", self.kv, "the KV cache in parts");
    f("compute_bytes", self.compute_bytes, "the least that computing needs");
    f("total_bytes", self.total_bytes, "all of it");
    f("available_bytes", self.available_bytes,
      "what the tightest limit leaves, less the headroom and what other models hold");
    f("limits", self.limits, "each limit with what it leaves free");
    f("fits", self.fits, "total_bytes is within available_bytes");
    f("largest_n_ctx", self.largest_n_ctx, "the longest context that would fit; 0 where none would");
    f("headroom_bytes", self.headroom_bytes, "what the configuration wants left free");
    f("held_bytes", self.held_bytes, "what the daemon's other models hold or have been promised");
    f("kv_unknown", self.kv_unknown, "why the KV cache is not known");
  }
  friend bool operator==(const Plan&, const Plan&) = default;
};

}  // namespace ggufd::answer

namespace ggufd {

template <>
inline constexpr auto EnumNames<answer::Check::Outcome> =
    std::to_array<std::string_view>({"ok", "warn", "fail", "skip"});

using AnswerBody = std::variant<answer::Ping, answer::Status, answer::Subscribe, answer::State, answer::Blob,
                                answer::Done, answer::Doctor, answer::Plan>;

}  // namespace ggufd
