#include "protocol/state.h"

namespace ggufd {
namespace {

struct Level {
  std::uint32_t code;
  const char* name;
};
constexpr Level none{0, "NONE"};
constexpr Level downloading{10, "DOWNLOADING"};
constexpr Level converting{20, "CONVERTING"};
constexpr Level uploading{30, "UPLOADING"};
constexpr Level enabled{200, "ENABLED"};
constexpr Level with_warning{300, "WARNING"};
constexpr Level failed{500, "ERROR"};

Level level_of_phase(PhaseKind phase) {
  switch (phase) {
    case PhaseKind::checking_local:
    case PhaseKind::download:
    case PhaseKind::verify:
    case PhaseKind::quarantine:
      return downloading;
    case PhaseKind::convert:
      return converting;
    case PhaseKind::mmap:
    case PhaseKind::kv_cache:
    case PhaseKind::engine_start:
    case PhaseKind::warm_up:
    case PhaseKind::upload:
      return uploading;
  }
  return downloading;
}

Level level_of(const ModelView& view) {
  switch (view.state) {
    case ModelState::uninitialized:
    case ModelState::unloading:
      return none;
    case ModelState::loading:
      return level_of_phase(
          view.phase.value_or(view.is_restarting ? PhaseKind::engine_start : PhaseKind::checking_local));
    case ModelState::warming_up:
      return uploading;
    case ModelState::ready:
      return view.warning ? with_warning : enabled;
    case ModelState::error:
      return failed;
  }
  return none;
}

}  // namespace

Health health_of(const ModelView& view) {
  if (view.state == ModelState::ready) return Health::ok;
  return view.state == ModelState::error && view.gave_up ? Health::unhealthy : Health::starting;
}

WarmUpState warm_up_state_of(const ModelView& view) {
  switch (health_of(view)) {
    case Health::ok:
      return WarmUpState::ready;
    case Health::unhealthy:
      return WarmUpState::unhealthy;
    case Health::starting:
      break;
  }
  return WarmUpState::loading;
}

Availability availability_of(const ModelView& view) {
  const Level level = level_of(view);
  Availability availability{level.code, level.name, {}};
  if (level.code == failed.code) availability.message.value = view.error;
  if (level.code == with_warning.code) availability.message.value = view.warning;
  return availability;
}

}  // namespace ggufd
