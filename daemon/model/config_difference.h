// What a configuration that was read again has changed, and what of that a running daemon can take over.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace ggufd::model {

// Keys, as "fetch.connections", "models[1].n_ctx", "models[2] (new)", "models (without old-name)". A model is
// known by its name; its number is that in the new file, from 0.
struct ConfigDifference {
  std::vector<std::string> applicable;  // take_over() brings them
  std::vector<std::string> pending;     // take effect at the next start: models_home, admin, http, log.format
};

ConfigDifference difference(const config::Config& running, const config::Config& read);
// Of one model only; what else differs is not looked at.
ConfigDifference difference(const config::Config& running, const config::Config& read,
                            std::string_view model);

// Null where there is none of that name.
const config::ModelConfig* find_model(const config::Config& config, std::string_view name);

// Makes `running` what `read` is, as far as that is applicable.
void take_over(const config::Config& read, config::Config& running);
// The same for that one model: it is replaced, added as the last, or removed. Where the default model is none
// any more, `read` says which it is; or it is the first, where that one is not running.
void take_over(const config::Config& read, config::Config& running, std::string_view model);

}  // namespace ggufd::model
