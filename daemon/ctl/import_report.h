// What `import` says of what it found and of what it did. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ctl/import_candidates.h"
#include "ctl/import_model.h"
#include "ctl/terminal.h"

namespace ggufd::ctl {

std::string candidates_json(const ImportCandidates& found);
std::string candidates_text(const ImportCandidates& found, const Terminal& terminal);

// `problems`: sentences on what could not be imported.
std::string imported_json(const std::vector<ImportedModel>& models, const std::vector<std::string>& problems);
std::string imported_text(const ImportedModel& model, std::uint64_t took_ms);

}  // namespace ggufd::ctl
