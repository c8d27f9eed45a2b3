// What a bring-up ends with, and what a model holds while it is ready.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/engine.h"
#include "model/local_copy.h"
#include "model/mapped_model.h"
#include "model/memory_region.h"
#include "store/digest.h"

namespace ggufd::model {

struct LoadedModel {
  // Of the first file, with its real name where there are several: engines find the others by it.
  std::string path;
  std::uint64_t size_bytes = 0;            // of all files
  std::optional<store::Digest> digest;     // of the first file
  Copies copies;                           // open, so that the store keeps them
  Mappings mappings;                       // one a file
  std::shared_ptr<MemoryRegion> kv_cache;  // none where the model needs none, or how much is not known
  std::unique_ptr<engine::Engine> engine;
  std::optional<std::uint64_t> warm_up_ms;

  std::uint64_t mapped_bytes() const { return total_bytes(mappings); }
  std::uint64_t kv_bytes() const { return kv_cache ? kv_cache->size_bytes() : 0; }
};

}  // namespace ggufd::model
