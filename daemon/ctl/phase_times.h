// How long each phase of a bring-up took, by the events' own time stamps. Pure: events in, summaries out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/status_event.h"

namespace ggufd::ctl {

struct PhaseTime {
  PhaseKind phase = PhaseKind::checking_local;
  std::uint64_t ms = 0;
  bool is_partial = false;  // it had begun before anything was heard of it: it took longer than that

  friend bool operator==(const PhaseTime&, const PhaseTime&) = default;
};

struct PhaseSummary {
  std::string model;
  std::string outcome;  // "ready in", "error after", …
  std::uint64_t total_ms = 0;
  bool is_partial = false;        // of the total, likewise
  std::vector<PhaseTime> phases;  // in the order in which they began; one that came twice stands once
};

// "qwen3-4b ready in 12.3 s: checking_local 2 ms, download over 9.1 s, verify 100 ms"
std::string to_string(const PhaseSummary& summary);

class PhaseTimes {
 public:
  // What has ended with this event, where phases of it were seen.
  std::optional<PhaseSummary> apply(const StatusEvent& event);
  // Every model that has a status was applied: of the others nothing was missed.
  void all_is_known() { is_whole_ = true; }
  // What comes next is another daemon's, or has a gap before it.
  void forget();

 private:
  struct Run {
    std::string model;
    std::vector<PhaseTime> phases;
    std::optional<PhaseKind> current;
    Timestamp phase_began;
    Timestamp began;
    bool is_partial = false;
  };

  Run& run_of(const std::string& model, Timestamp now);
  static void enter(Run& run, PhaseKind phase, Timestamp now);
  static void leave(Run& run, Timestamp now);
  static std::optional<PhaseSummary> end(Run& run, const StatusEvent& event, std::string outcome);

  std::vector<Run> runs_;
  bool is_whole_ = false;  // of a model that was not heard of yet, nothing was missed
};

}  // namespace ggufd::ctl
