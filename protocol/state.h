// What a model is doing, and the three views of it that outside programs ask for: state, health and
// availability. One truth (ModelState plus the last status), three derivations; nobody keeps a second copy.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "protocol/fields.h"
#include "protocol/status_event.h"

namespace ggufd {

enum class ModelState : std::uint8_t { uninitialized, loading, warming_up, ready, unloading, error };
template <>
inline constexpr auto EnumNames<ModelState> = std::to_array<std::string_view>(
    {"uninitialized", "loading", "warming_up", "ready", "unloading", "error"});

enum class Health : std::uint8_t { ok, starting, unhealthy };
template <>
inline constexpr auto EnumNames<Health> = std::to_array<std::string_view>({"ok", "starting", "unhealthy"});

enum class WarmUpState : std::uint8_t { loading, ready, unhealthy };
template <>
inline constexpr auto EnumNames<WarmUpState> =
    std::to_array<std::string_view>({"loading", "ready", "unhealthy"});

// One number for clients that want no more: the code says it, the name repeats it for people.
struct Availability {
  std::uint32_t code = 0;
  std::string name;
  Nullable<std::string> message;

  static void fields(auto& self, auto&& f) {
    f("code", self.code, "0, 10, 20, 30, 200, 300 or 500");
    f("name", self.name, "NONE, DOWNLOADING, CONVERTING, UPLOADING, ENABLED, WARNING or ERROR");
    f("message", self.message, "the error's or the warning's sentence, else null");
  }
  friend bool operator==(const Availability&, const Availability&) = default;
};

// What the derivations need of a model.
struct ModelView {
  ModelState state = ModelState::uninitialized;
  std::optional<PhaseKind> phase;      // of the running step
  bool is_restarting = false;          // the load is one again: the files are there
  std::optional<std::string> error;    // the sentence of the error that the model is in
  std::optional<std::string> warning;  // the sentence of the last warning of this load
  bool gave_up = false;                // the failure will not be tried again without a request
};

Health health_of(const ModelView&);
WarmUpState warm_up_state_of(const ModelView&);
Availability availability_of(const ModelView&);

// The document of `GET /health` and `ggufctl health`, for one model.
struct HealthDocument {
  Health status = Health::starting;
  Nullable<std::string> model;
  Nullable<std::string> backend;
  WarmUpState warm_up_state = WarmUpState::loading;
  ModelState state = ModelState::uninitialized;
  Availability availability;

  static void fields(auto& self, auto&& f) {
    f("status", self.status, "ok, starting or unhealthy");
    f("model", self.model, "the model's name");
    f("backend", self.backend, "resident or llama-server; null before one is chosen");
    f("warm_up_state", self.warm_up_state, "loading, ready or unhealthy");
    f("state", self.state, "the state machine's state");
    f("availability", self.availability, "code, name and message");
  }
  friend bool operator==(const HealthDocument&, const HealthDocument&) = default;
};

}  // namespace ggufd
