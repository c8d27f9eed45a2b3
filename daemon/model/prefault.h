// Bringing all mappings of a model into memory, before anybody waits for a page of it.
#pragma once

#include <cstdint>
#include <functional>

#include "loop/operation.h"
#include "model/mapped_model.h"

namespace ggufd::model {

// How pages are read.
//   populate  one thread asks for the mapping's own pages (MADV_POPULATE_READ): the kernel reads ahead, and
//   nothing
//             is copied
//   pread     four threads read the file, each with a descriptor and so a read-ahead of its own, and throw
//   the bytes
//             away; then the pages are mapped. Keeps a disk busy whose read-ahead is too small for one
//             reader, and is the way of kernels before Linux 5.14
enum class PrefaultWay : std::uint8_t { populate, pread };
enum class PrefaultChoice : std::uint8_t {
  automatic,  // populate where the kernel has it, unless a probe of a large cold file finds pread clearly
              // faster
  populate,
  pread,
};

struct PrefaultCallbacks {
  // After each slice, at least some ten times a second on a disk of 100 MB/s: how much is done, of all files
  // together. Rises, up to the files' size.
  std::move_only_function<void(std::uint64_t done_bytes)> on_progress;
  // The bytes that are resident at the end, counted (resident_bytes(), model/memory_region.h). Less than all
  // of them where the kernel has given pages away again at once: there is not enough memory for the model.
  //   map_failed  a file became shorter or cannot be read
  //   cancelled   soon after cancel(): within 100 ms, unless the disk takes longer for 4 MiB
  std::move_only_function<void(Result<std::uint64_t> resident_bytes)> on_done;
};

// Runs on the pool, on at most four threads of it. `copies` are the open files that `mappings` were made of.
// Either callback may destroy the operation.
[[nodiscard]] loop::OperationPtr prefault(loop::Loop& loop, Copies copies, Mappings mappings,
                                          PrefaultCallbacks callbacks,
                                          PrefaultChoice choice = PrefaultChoice::automatic);

}  // namespace ggufd::model
