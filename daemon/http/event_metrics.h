// What is counted of the published events: how long phases take, what is moved in them, what goes wrong. The
// state that a model is in is not kept here; it is asked for when the metrics are.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "http/exposition.h"
#include "protocol/status_event.h"

namespace ggufd::http {

class EventMetrics {
 public:
  using Moment = std::chrono::steady_clock::time_point;

  void observe(const StatusEvent& event, Moment now);
  // There is no such model any more: neither are its series. What was counted of all models together stays.
  void forget(const std::string& model);
  void write(Exposition& out) const;

 private:
  // A model's phase under way.
  struct Running {
    PhaseKind kind;
    Moment began;
    std::uint64_t bytes = 0;  // that it has told of
  };
  struct Model {
    std::optional<Running> running;
    std::optional<StatusKind> last;  // warnings and capabilities aside
    bool last_had_phase = false;
  };

  void follow_phase(Model& model, const LoadPhase* phase, Moment now);
  void count(const std::string& name, const Model& model, const StatusEvent& event);

  std::map<std::string, Model> models_;  // those that have told of themselves and were not forgotten
  std::array<Histogram, EnumNames<PhaseKind>.size()> phase_seconds_;
  std::array<std::uint64_t, EnumNames<PhaseKind>.size()> phase_bytes_{};
  std::map<std::pair<std::string, RestartReason>, std::uint64_t> restarts_;
  std::map<std::pair<std::string, ErrorCode>, std::uint64_t> errors_;
  std::map<std::string, std::uint64_t> warnings_;  // "" for those of the daemon
};

}  // namespace ggufd::http
