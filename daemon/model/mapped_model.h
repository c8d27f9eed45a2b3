// The files of a model mapped, their headers read and checked, one by one and together.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gguf/memory_plan.h"
#include "model/local_copy.h"
#include "model/memory_region.h"
#include "protocol/error.h"
#include "store/stat_stamp.h"

namespace ggufd::model {

using Copies = std::vector<std::shared_ptr<LocalCopy>>;
// One a file, in their order; shared with the pool while it works on them.
using Mappings = std::vector<std::shared_ptr<MemoryRegion>>;

struct MappedModel {
  Mappings mappings;
  std::vector<store::StatStamp> stamps;  // of the files when they were mapped; one a file
  std::optional<gguf::MemoryPlanner> planner;
  gguf::MemoryPlan plan;
  bool is_embedding_model = false;
};

// Blocks. invalid_gguf or unsupported_gguf for what is no model; map_failed where a file cannot be mapped, or
// read where it is mapped (with install_mapping_guard(), model/mapping_guard.h; else that is the process's
// end).
Result<MappedModel> map_model(const Copies& copies, const gguf::MemorySettings& settings);

std::uint64_t total_bytes(const Copies& copies);
std::uint64_t total_bytes(const Mappings& mappings);

}  // namespace ggufd::model
