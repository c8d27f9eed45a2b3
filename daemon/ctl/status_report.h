// What `ggufctl status` and `ggufctl health` print, from the daemon's answer. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ctl/terminal.h"
#include "protocol/answer.h"
#include "protocol/state.h"

namespace ggufd::ctl {

// The model that is meant where none is named: the one the answer says, else the first, else none.
std::optional<std::string> default_model_of(const answer::Status& status);

// The table, and under it what is to be said of models that are not well. With `in_detail` also digests and
// the last words of the engines.
std::string status_report(const answer::Status& status, bool in_detail, Timestamp now,
                          const Terminal& terminal);

// The document of `GET /health`: the default model's, and in `models` one for each.
struct HealthReport {
  HealthDocument of_default;
  std::vector<HealthDocument> models;

  static void fields(auto& self, auto&& f) {
    HealthDocument::fields(self.of_default, f);
    f("models", self.models, "the same of each model");
  }
};
HealthReport health_report(const answer::Status& status);

}  // namespace ggufd::ctl
