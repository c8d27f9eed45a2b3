// What the daemon tells everyone: one struct a status, and the event that carries it (docs/protocol.md,
// "Events").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "protocol/error.h"
#include "protocol/fields.h"
#include "protocol/load_phase.h"

namespace ggufd {

enum class Accelerator : std::uint8_t { cpu, cuda, metal, vulkan, rocm };
template <>
inline constexpr auto EnumNames<Accelerator> =
    std::to_array<std::string_view>({"cpu", "cuda", "metal", "vulkan", "rocm"});

enum class RestartReason : std::uint8_t { reload, engine_exit, engine_unresponsive };
template <>
inline constexpr auto EnumNames<RestartReason> =
    std::to_array<std::string_view>({"reload", "engine_exit", "engine_unresponsive"});

enum class UnloadReason : std::uint8_t { request, idle, reload, evicted, cancelled, shutdown };
template <>
inline constexpr auto EnumNames<UnloadReason> =
    std::to_array<std::string_view>({"request", "idle", "reload", "evicted", "cancelled", "shutdown"});

enum class StatusKind : std::uint8_t {
  starting,
  loading_model,
  capabilities,
  ready,
  restarting,
  unloading,
  unloaded,
  error,
  warning,
  draining,
  lagged,
};
template <>
inline constexpr auto EnumNames<StatusKind> =
    std::to_array<std::string_view>({"starting", "loading_model", "capabilities", "ready", "restarting",
                                     "unloading", "unloaded", "error", "warning", "draining", "lagged"});

namespace status {

struct Starting {
  std::string version;
  std::int64_t pid = 0;

  static void fields(auto& self, auto&& f) {
    f("version", self.version, "the daemon's version");
    f("pid", self.pid, "the daemon's process");
  }
  friend bool operator==(const Starting&, const Starting&) = default;
};

struct LoadingModel {
  LoadPhase phase;

  static void fields(auto&, auto&&) {}  // the phase's own are written in their place
  friend bool operator==(const LoadingModel&, const LoadingModel&) = default;
};

struct Capabilities {
  Backend backend = Backend::resident;
  std::uint32_t wire_version = 1;
  bool v2 = false;
  bool vision = false;
  bool audio = false;
  bool tools = false;
  bool thinking = false;
  bool embed = false;
  bool rerank = false;
  Accelerator accelerator = Accelerator::cpu;
  std::uint32_t gpu_layers = 0;
  std::optional<std::string> device_name;
  std::optional<std::uint64_t> vram_total_bytes;
  std::uint32_t n_ctx = 0;
  bool generate = false;

  static void fields(auto& self, auto&& f) {
    f("backend", self.backend, "resident or llama-server");
    f("wire_version", self.wire_version, "1");
    f("v2", self.v2, "the second inference wire is spoken");
    f("vision", self.vision, "images are understood");
    f("audio", self.audio, "sound is understood");
    f("tools", self.tools, "the chat template knows tools");
    f("thinking", self.thinking, "the chat template knows reasoning");
    f("embed", self.embed, "embeddings are computed");
    f("rerank", self.rerank, "documents are ranked");
    f("accelerator", self.accelerator, "cpu, cuda, metal, vulkan or rocm");
    f("gpu_layers", self.gpu_layers, "layers that the accelerator holds");
    f("device_name", self.device_name, "the accelerator's name");
    f("vram_total_bytes", self.vram_total_bytes, "the accelerator's memory");
    f("n_ctx", self.n_ctx, "context length in tokens");
    f("generate", self.generate, "text is generated");
  }
  friend bool operator==(const Capabilities&, const Capabilities&) = default;
};

struct Ready {
  std::uint64_t load_ms = 0;
  std::optional<std::uint64_t> warm_up_ms;
  std::optional<std::string> infer_socket;

  static void fields(auto& self, auto&& f) {
    f("load_ms", self.load_ms, "milliseconds from the load's begin to ready");
    f("warm_up_ms", self.warm_up_ms, "milliseconds of it that the warm-up took");
    f("infer_socket", self.infer_socket, "path of the inference socket");
  }
  friend bool operator==(const Ready&, const Ready&) = default;
};

struct Restarting {
  std::optional<LoadPhase> phase;  // none during back-off
  RestartReason reason = RestartReason::reload;
  std::optional<std::uint32_t> attempt;  // as in engine_start; written once where the phase says it too
  std::optional<std::uint32_t> restarts_left;

  static void fields(auto& self, auto&& f) {
    f("reason", self.reason, "reload, engine_exit or engine_unresponsive");
    f("attempt", self.attempt, "engine starts of this load, the first is 1");
    f("restarts_left", self.restarts_left, "restarts that the budget still has");
  }
  friend bool operator==(const Restarting&, const Restarting&) = default;
};

struct Unloading {
  UnloadReason reason = UnloadReason::request;

  static void fields(auto& self, auto&& f) {
    f("reason", self.reason, "request, idle, reload, evicted, cancelled or shutdown");
  }
  friend bool operator==(const Unloading&, const Unloading&) = default;
};

struct Unloaded {
  UnloadReason reason = UnloadReason::request;

  static void fields(auto& self, auto&& f) {
    f("reason", self.reason, "request, idle, reload, evicted, cancelled or shutdown");
  }
  friend bool operator==(const Unloaded&, const Unloaded&) = default;
};

struct Failed {
  std::optional<PhaseKind> phase;
  ErrorCode code = ErrorCode::internal;
  std::string message;
  std::optional<std::uint64_t> retry_in_ms;

  static void fields(auto& self, auto&& f) {
    f("phase", self.phase, "the phase it happened in");
    f("code", self.code, "one of the error codes");
    f("message", self.message, "what failed, with what, and what to do");
    f("retry_in_ms", self.retry_in_ms, "milliseconds until it is tried again; absent where it is not");
  }
  friend bool operator==(const Failed&, const Failed&) = default;
};

// Does not change the model's status. Its codes are an open set of snake_case names.
struct Warning {
  std::string code;
  std::string message;

  static void fields(auto& self, auto&& f) {
    f("code", self.code, "what it is about, as a snake_case name");
    f("message", self.message, "the same as a sentence");
  }
  friend bool operator==(const Warning&, const Warning&) = default;
};

// Opens a stop of the daemon.
struct Draining {
  static void fields(auto&, auto&&) {}
  friend bool operator==(const Draining&, const Draining&) = default;
};

// Sent to one reader, never published: so many changes it has missed; the current state follows.
struct Lagged {
  std::uint64_t missed = 0;

  static void fields(auto& self, auto&& f) {
    f("missed", self.missed, "events that this reader will not get");
  }
  friend bool operator==(const Lagged&, const Lagged&) = default;
};

}  // namespace status

// The alternatives stand in the order of StatusKind.
using Status = std::variant<status::Starting, status::LoadingModel, status::Capabilities, status::Ready,
                            status::Restarting, status::Unloading, status::Unloaded, status::Failed,
                            status::Warning, status::Draining, status::Lagged>;
static_assert(std::variant_size_v<Status> == EnumNames<StatusKind>.size());

inline StatusKind kind_of(const Status& status) {
  return static_cast<StatusKind>(status.index());
}

struct StatusEvent {
  Status status;
  std::optional<std::string> model;  // none: the event is about the daemon
  std::uint64_t seq = 0;  // counts published events from 1; 0: not published, neither seq nor ts is written
  Timestamp ts;

  friend bool operator==(const StatusEvent&, const StatusEvent&) = default;
};

// The phase that an event tells of, if any.
const LoadPhase* phase_of(const StatusEvent& event);

}  // namespace ggufd
