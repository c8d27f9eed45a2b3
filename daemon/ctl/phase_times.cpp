#include "ctl/phase_times.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "ctl/human.h"

namespace ggufd::ctl {
namespace {

// A clock that was set back makes no phase longer than all others.
std::uint64_t ms_between(Timestamp from, Timestamp to) {
  return to.ms > from.ms ? static_cast<std::uint64_t>(to.ms - from.ms) : 0;
}

const char* over(bool is_partial) {
  return is_partial ? "over " : "";
}

// Of what ended without being loaded: a pull that is done has its model `unloaded` by request.
std::string outcome_of(UnloadReason reason) {
  switch (reason) {
    case UnloadReason::cancelled:
      return "cancelled after";
    case UnloadReason::shutdown:
      return "stopped after";
    default:
      return "done in";
  }
}

}  // namespace

std::string to_string(const PhaseSummary& summary) {
  std::string text = fmt::format("{} {} {}{}", printable(summary.model), summary.outcome,
                                 over(summary.is_partial), human_ms(summary.total_ms));
  const char* separator = ": ";
  for (const PhaseTime& time : summary.phases) {
    text += fmt::format("{}{} {}{}", std::exchange(separator, ", "), name_of(time.phase),
                        over(time.is_partial), human_ms(time.ms));
  }
  return text;
}

void PhaseTimes::forget() {
  runs_.clear();
  is_whole_ = false;
}

PhaseTimes::Run& PhaseTimes::run_of(const std::string& model, Timestamp now) {
  const auto known = std::ranges::find(runs_, model, &Run::model);
  if (known != runs_.end()) return *known;
  Run run{.model = model, .phases = {}, .current = {}, .phase_began = now, .began = now};
  run.is_partial = !is_whole_;
  return runs_.emplace_back(std::move(run));
}

void PhaseTimes::leave(Run& run, Timestamp now) {
  if (!run.current) return;
  const auto time = std::ranges::find(run.phases, *run.current, &PhaseTime::phase);
  time->ms += ms_between(run.phase_began, now);
  run.current.reset();
}

void PhaseTimes::enter(Run& run, PhaseKind phase, Timestamp now) {
  if (run.current == phase) return;
  leave(run, now);
  if (run.phases.empty()) run.began = now;
  if (std::ranges::find(run.phases, phase, &PhaseTime::phase) == run.phases.end())
    run.phases.push_back({phase, 0, run.is_partial && run.phases.empty()});
  run.current = phase;
  run.phase_began = now;
}

std::optional<PhaseSummary> PhaseTimes::end(Run& run, const StatusEvent& event, std::string outcome) {
  leave(run, event.ts);
  PhaseSummary summary{.model = run.model,
                       .outcome = std::move(outcome),
                       .total_ms = ms_between(run.began, event.ts),
                       .is_partial = run.is_partial,
                       .phases = std::exchange(run.phases, {})};
  run.is_partial = false;  // whatever comes next will be seen from its begin
  if (summary.phases.empty()) return std::nullopt;
  if (const auto* ready = std::get_if<status::Ready>(&event.status)) {
    summary.total_ms = ready->load_ms;
    summary.is_partial = false;
  }
  return summary;
}

std::optional<PhaseSummary> PhaseTimes::apply(const StatusEvent& event) {
  const StatusKind kind = kind_of(event.status);
  if (kind == StatusKind::lagged) forget();
  if (kind == StatusKind::starting) is_whole_ = true;
  if (!event.model || kind == StatusKind::warning || kind == StatusKind::capabilities) return std::nullopt;
  Run& run = run_of(*event.model, event.ts);
  if (const LoadPhase* phase = phase_of(event)) {
    enter(run, kind_of(*phase), event.ts);
    return std::nullopt;
  }
  switch (kind) {
    case StatusKind::ready:
      return end(run, event, "ready in");
    case StatusKind::error:
      return end(run, event, "error after");
    case StatusKind::unloaded:
      return end(run, event, outcome_of(std::get<status::Unloaded>(event.status).reason));
    default:  // restarting during back-off, unloading
      leave(run, event.ts);
      if (run.phases.empty()) run.is_partial = false;
      return std::nullopt;
  }
}

}  // namespace ggufd::ctl
