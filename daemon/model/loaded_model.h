// What a bring-up ends with, and what a model holds while it is ready.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "gguf/memory_plan.h"
#include "loop/loop.h"
#include "loop/operation.h"
#include "model/admission.h"
#include "model/kv_cache.h"
#include "model/local_copy.h"
#include "model/mapped_model.h"
#include "store/digest.h"
#include "store/stat_stamp.h"

namespace ggufd::model {

struct LoadedModel {
  // Of the first file, with its real name where there are several: engines find the others by it.
  std::string path;
  std::uint64_t size_bytes = 0;          // of all files
  std::optional<store::Digest> digest;   // of the first file
  Copies copies;                         // open, so that the store keeps them
  Mappings mappings;                     // one a file
  std::vector<store::StatStamp> stamps;  // of the files when they were mapped
  std::shared_ptr<KvCache> kv_cache;     // none where the model needs none, or how much is not known
  std::optional<gguf::MemoryPlanner> planner;
  std::shared_ptr<MemoryPromise> promise;  // of all of this memory; given back after it
  std::unique_ptr<engine::Engine> engine;
  std::uint64_t planned_kv_bytes = 0;  // that the engine allocates itself

  std::uint64_t mapped_bytes() const { return total_bytes(mappings); }
  std::uint64_t kv_bytes() const { return kv_cache ? kv_cache->size_bytes() : planned_kv_bytes; }
};

// Stops the engine, whose requests in flight may finish for a while, then gives all of it back, the gigabytes
// on the pool: mappings, KV cache, with `drop_cache` the files' pages in the page cache, too; then the
// promise and the files. `on_done` comes then, even where it is cancelled, but not where the operation is
// destroyed.
[[nodiscard]] loop::OperationPtr give_back(loop::Loop& loop, LoadedModel loaded, bool drop_cache,
                                           std::move_only_function<void()> on_done);

}  // namespace ggufd::model
