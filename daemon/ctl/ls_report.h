// What `ls` says of a store, for programs and for people. Pure functions but for what they ask of
// `ArrivedBytes`.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "ctl/terminal.h"
#include "protocol/fields.h"
#include "store/collection.h"

namespace ggufd::ctl {

// What has arrived of the download in a partial's folder.
using ArrivedBytes = std::function<std::uint64_t(const std::string& partial_folder)>;

// The document of `ls --json`.
std::string ls_json(const store::Collection& collection, const ArrivedBytes& arrived_bytes);

// A table of the models, then whatever else there is; `root` is the store's folder.
std::string ls_text(const store::Collection& collection, const ArrivedBytes& arrived_bytes,
                    const std::string& root, Timestamp now, const Terminal& terminal);

}  // namespace ggufd::ctl
