#include "protocol/status_event.h"

namespace ggufd {

const LoadPhase* phase_of(const StatusEvent& event) {
  if (const auto* loading = std::get_if<status::LoadingModel>(&event.status)) return &loading->phase;
  const auto* restarting = std::get_if<status::Restarting>(&event.status);
  return restarting != nullptr && restarting->phase ? &*restarting->phase : nullptr;
}

}  // namespace ggufd
