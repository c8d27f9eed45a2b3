#include "doctor/running.h"

#include <fmt/core.h>

#include "doctor/group.h"

namespace ggufd::doctor {
namespace {

std::string described(const answer::ModelStatus& model) {
  std::string text(name_of(model.state));
  if (model.phase) text += fmt::format(", {}", name_of(*model.phase));
  if (model.availability.message.value) text += ": " + *model.availability.message.value;
  return text;
}

void judge_model(const answer::ModelStatus& model, Group& group) {
  if (model.health == Health::unhealthy) {
    return group.fail(model.name, described(model),
                      fmt::format("mend what it names, then run `ggufctl load {}`", model.name));
  }
  if (model.engine.restarts > 0) {
    return group.warn(model.name,
                      fmt::format("{}; its engine was restarted {} times, {} are left; it ended with: {}",
                                  described(model), model.engine.restarts, model.engine.restarts_left,
                                  model.engine.last_exit.value_or("unknown")),
                      fmt::format("`ggufctl status {} --json` has what it said last", model.name));
  }
  if (model.availability.message.value) {
    return group.warn(model.name, described(model), "see the warning");
  }
  group.ok(model.name, described(model));
}

}  // namespace

void judge_models(const answer::Status& status, answer::Doctor& report) {
  Group group(report, "daemon");
  if (status.models.empty()) group.skip("models", "no model is configured");
  for (const answer::ModelStatus& model : status.models) judge_model(model, group);
}

}  // namespace ggufd::doctor
