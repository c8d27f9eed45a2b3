// The files of a model mapped, their headers read and checked, one by one and together.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gguf/memory_plan.h"
#include "model/local_copy.h"
#include "model/memory_region.h"
#include "protocol/error.h"

namespace ggufd::model {

using Copies = std::vector<std::shared_ptr<LocalCopy>>;
// One a file, in their order; shared with the pool while it works on them.
using Mappings = std::vector<std::shared_ptr<MemoryRegion>>;

struct MappedModel {
  Mappings mappings;
  std::string architecture;
  gguf::MemoryPlan plan;
};

// Blocks. invalid_gguf or unsupported_gguf for what is no model; map_failed.
Result<MappedModel> map_model(const Copies& copies, const gguf::MemorySettings& settings);

std::uint64_t total_bytes(const Copies& copies);
std::uint64_t total_bytes(const Mappings& mappings);

// Brings a slice of all mappings, taken one behind the other, into memory. Blocks.
Result<void> populate_for_reading(const Mappings& mappings, std::uint64_t offset, std::uint64_t length);

}  // namespace ggufd::model
