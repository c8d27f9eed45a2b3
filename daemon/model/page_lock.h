// Keeping a model's mappings in memory: mlock, and the limit that is in its way.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "loop/operation.h"
#include "model/mapped_model.h"

namespace ggufd::model {

// How much memory this process may lock.
struct LockLimit {
  std::optional<std::uint64_t> bytes;  // RLIMIT_MEMLOCK, the soft one; none: unlimited
  bool is_void = false;                // CAP_IPC_LOCK: the limit does not apply

  bool allows(std::uint64_t wanted_bytes) const { return is_void || !bytes || wanted_bytes <= *bytes; }
};
// Of the calling thread, which on Linux is what its process began with. Blocks for no time worth mentioning.
LockLimit lock_limit();

// Locks every page of one mapping, or none. Blocks, until `is_cancelled` says true (asked between slices,
// then `cancelled`).
//   out_of_memory_budget  refused; the sentence names what is needed and, where that is why, RLIMIT_MEMLOCK
//   map_failed            a page cannot be read
Result<void> lock_mappings(const Mappings& mappings, const std::function<bool()>& is_cancelled);

// The same on the pool. Pages that are in memory already take little time; the others are read. Unmapping
// unlocks.
[[nodiscard]] loop::OperationPtr lock_pages(loop::Loop& loop, Mappings mappings,
                                            std::move_only_function<void(Result<void>)> on_done);

}  // namespace ggufd::model
