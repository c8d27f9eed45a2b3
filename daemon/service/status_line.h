// What a daemon is doing as one short line: "qwen3-4b: download 43 %, 2 of 3 models ready".
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "protocol/status_event.h"

namespace ggufd::service {

// Follows the published events. Of several models, one that loads is shown, else one that has failed; always
// the first of them by name, so that the line does not jump between those that load at a time.
class StatusLine {
 public:
  enum class Change {
    none,
    progress,  // within a phase
    status,    // of a status or a phase
  };

  Change observe(const StatusEvent& event);
  // There is no such model any more.
  Change forget(const std::string& model);
  // `models`: how many are configured, also those that have told nothing yet.
  std::string text(std::size_t models) const;

 private:
  struct Shown {
    StatusKind status = StatusKind::starting;
    std::optional<PhaseKind> phase;
    std::optional<ErrorCode> error;
    std::optional<std::uint64_t> percent;
  };
  using Models = std::map<std::string, Shown>;

  static Shown shown(const StatusEvent& event);
  static std::string doing(const Shown& model);
  const Models::value_type* most_interesting() const;

  Models models_;
  bool is_draining_ = false;
};

}  // namespace ggufd::service
