#include "protocol/health_report.h"

namespace ggufd {
namespace {

HealthDocument document_of(const answer::ModelStatus& model) {
  HealthDocument document{.status = model.health, .state = model.state, .availability = model.availability};
  document.model.value = model.name;
  if (model.engine.backend) document.backend.value = std::string(name_of(*model.engine.backend));
  document.warm_up_state =
      warm_up_state_of({.state = model.state, .gave_up = model.health == Health::unhealthy});
  return document;
}

}  // namespace

std::optional<std::string> default_model_of(const answer::Status& status) {
  if (status.default_model) return status.default_model;
  if (status.models.empty()) return std::nullopt;
  return status.models.front().name;
}

HealthReport health_report(const answer::Status& status) {
  HealthReport report;
  report.of_default.availability = availability_of({});
  const auto default_model = default_model_of(status);
  for (const auto& model : status.models) {
    report.models.push_back(document_of(model));
    if (model.name == default_model) report.of_default = report.models.back();
  }
  return report;
}

}  // namespace ggufd
