// What `ls` says of a store, for programs and for people. Pure functions.
#pragma once

#include <string>

#include "ctl/terminal.h"
#include "protocol/fields.h"
#include "store/collection.h"

namespace ggufd::ctl {

// The document of `ls --json`.
std::string ls_json(const store::Collection& collection);

// A table of the models, then whatever else there is; `root` is the store's folder.
std::string ls_text(const store::Collection& collection, const std::string& root, Timestamp now,
                    const Terminal& terminal);

}  // namespace ggufd::ctl
