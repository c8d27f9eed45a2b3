#include "http/event_metrics.h"

#include <variant>

namespace ggufd::http {
namespace {

// Bytes that a phase has moved so far; those that were there when it began do not count.
std::uint64_t bytes_of(const LoadPhase& phase) {
  if (const auto* download = std::get_if<phase::Download>(&phase)) return download->downloaded_bytes;
  if (const auto* verify = std::get_if<phase::Verify>(&phase)) return verify->verified_bytes;
  if (const auto* mmap = std::get_if<phase::Mmap>(&phase)) return mmap->resident_bytes;
  return 0;
}

std::size_t index_of(PhaseKind kind) {
  return static_cast<std::size_t>(kind);
}

// Whether this begins a restart; else it goes on with one. `last`: what the model told before.
bool is_next_restart(const status::Restarting& told, std::optional<StatusKind> last, bool last_had_phase) {
  // It is told of once without a phase, where it backs off, and then with its phases.
  if (told.reason != RestartReason::reload) {
    return last != StatusKind::restarting || (last_had_phase && !told.phase);
  }
  // While the old bytes serve, the phases that bring the new ones here are no restart yet: that is told of
  // without a phase. Where nothing serves, it begins with a phase.
  return !told.phase || (last != StatusKind::restarting && last != StatusKind::ready);
}

}  // namespace

void EventMetrics::observe(const StatusEvent& event, Moment now) {
  const std::string name = event.model.value_or("");
  const StatusKind kind = kind_of(event.status);
  if (kind == StatusKind::warning) ++warnings_[name];
  if (!event.model || kind == StatusKind::warning || kind == StatusKind::capabilities) return;
  Model& model = models_[name];
  const LoadPhase* phase = phase_of(event);
  count(name, model, event);
  follow_phase(model, phase, now);
  model.last = kind;
  model.last_had_phase = phase != nullptr;
}

void EventMetrics::forget(const std::string& model) {
  models_.erase(model);
  warnings_.erase(model);
  std::erase_if(errors_, [&](const auto& entry) { return entry.first.first == model; });
  std::erase_if(restarts_, [&](const auto& entry) { return entry.first.first == model; });
}

void EventMetrics::follow_phase(Model& model, const LoadPhase* phase, Moment now) {
  auto& running = model.running;
  if (running && (phase == nullptr || kind_of(*phase) != running->kind)) {
    phase_seconds_[index_of(running->kind)].observe(
        std::chrono::duration<double>(now - running->began).count());
    running.reset();
  }
  if (phase == nullptr) return;
  const std::uint64_t bytes = bytes_of(*phase);
  if (!running) {
    running = Running{.kind = kind_of(*phase), .began = now, .bytes = bytes};
    return;
  }
  // Less than before: the phase began anew, and what it has is not known to be new.
  if (bytes > running->bytes) phase_bytes_[index_of(running->kind)] += bytes - running->bytes;
  running->bytes = bytes;
}

void EventMetrics::count(const std::string& name, const Model& model, const StatusEvent& event) {
  if (const auto* failed = std::get_if<status::Failed>(&event.status)) ++errors_[{name, failed->code}];
  if (const auto* restarting = std::get_if<status::Restarting>(&event.status)) {
    if (is_next_restart(*restarting, model.last, model.last_had_phase))
      ++restarts_[{name, restarting->reason}];
  }
}

void EventMetrics::write(Exposition& out) const {
  out.family("ggufd_phase_seconds", "histogram", "Time that phases of bring-ups took.");
  for (std::size_t i = 0; i < phase_seconds_.size(); ++i) {
    if (phase_seconds_[i].count() > 0) out.histogram({{"phase", EnumNames<PhaseKind>[i]}}, phase_seconds_[i]);
  }
  out.family("ggufd_fetched_bytes_total", "counter", "Bytes that downloads have brought.");
  out.sample(phase_bytes_[index_of(PhaseKind::download)]);
  out.family("ggufd_verified_bytes_total", "counter", "Bytes that were hashed in phases of their own.");
  out.sample(phase_bytes_[index_of(PhaseKind::verify)]);
  out.family("ggufd_prefaulted_bytes_total", "counter",
             "Bytes of mapped files that were brought into memory.");
  out.sample(phase_bytes_[index_of(PhaseKind::mmap)]);
  out.family("ggufd_restarts_total", "counter", "Restarts of a model, by what caused them.");
  for (const auto& [key, count] : restarts_) {
    out.sample({{"model", key.first}, {"reason", name_of(key.second)}}, count);
  }
  out.family("ggufd_errors_total", "counter", "Errors that a model has told of, by code.");
  for (const auto& [key, count] : errors_) {
    out.sample({{"model", key.first}, {"code", name_of(key.second)}}, count);
  }
  out.family("ggufd_warnings_total", "counter", "Warnings of a model; without a name those of the daemon.");
  for (const auto& [model, count] : warnings_) out.sample({{"model", model}}, count);
}

}  // namespace ggufd::http
