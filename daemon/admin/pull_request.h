// The request `pull` checked, field by field.
#pragma once

#include <optional>
#include <string>

#include "config/config.h"
#include "config/environment.h"
#include "protocol/error.h"
#include "protocol/request.h"

namespace ggufd::admin {

// What is to be fetched: a configured model, by its name, or a source with the name it gets in the store.
struct PullOrder {
  std::optional<std::string> model;  // none: `source` is meant
  config::ModelConfig source;        // pinned on first use where the request brings no digest

  friend bool operator==(const PullOrder&, const PullOrder&) = default;
};

// Codes: missing_field, bad_field. Whether there is a model of that name is not looked at.
Result<PullOrder> check_pull(const request::Pull& request, const config::Config& config,
                             const config::Environment& environment);

}  // namespace ggufd::admin
