// The document of `GET /health` and `ggufctl health`, made of the answer to `status`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "protocol/answer.h"
#include "protocol/state.h"

namespace ggufd {

// The default model's name; the first one's where the answer does not say. Nothing without a model.
std::optional<std::string> default_model_of(const answer::Status& status);

// The default model's document, and in `models` one for each.
struct HealthReport {
  HealthDocument of_default;
  std::vector<HealthDocument> models;

  static void fields(auto& self, auto&& f) {
    HealthDocument::fields(self.of_default, f);
    f("models", self.models, "the same of each model");
  }
};
// Without a model there is none to be ready: `starting`, availability NONE, no name.
HealthReport health_report(const answer::Status& status);

}  // namespace ggufd
