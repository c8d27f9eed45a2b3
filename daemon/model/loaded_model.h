// What a bring-up ends with, and what a model holds while it is ready.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/engine.h"
#include "model/memory_region.h"
#include "store/digest.h"

namespace ggufd::model {

struct LoadedModel {
  std::string path;
  std::uint64_t size_bytes = 0;
  std::optional<store::Digest> digest;
  std::shared_ptr<MemoryRegion> mapping;   // shared with the pool while it works on it
  std::shared_ptr<MemoryRegion> kv_cache;  // none where the model needs none, or how much is not known
  std::unique_ptr<engine::Engine> engine;
  std::optional<std::uint64_t> warm_up_ms;

  std::uint64_t mapped_bytes() const { return mapping ? mapping->size_bytes() : 0; }
  std::uint64_t kv_bytes() const { return kv_cache ? kv_cache->size_bytes() : 0; }
};

}  // namespace ggufd::model
