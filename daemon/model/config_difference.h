// What a configuration that was read again has changed, and what of that a running daemon can take over.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace ggufd::model {

// Keys, as "fetch.connections", "models[1].n_ctx", "models[2] (new)", "models (without old-name)". A model is
// known by its name; its number is that in the new file, from 0.
struct ConfigDifference {
  std::vector<std::string> applicable;  // take_over() brings them
  std::vector<std::string> pending;     // take effect at the next start
};

ConfigDifference difference(const config::Config& running, const config::Config& read);

// Makes `running` what `read` is, as far as that is applicable.
void take_over(const config::Config& read, config::Config& running);

}  // namespace ggufd::model
