// What a prefault does on the pool; for prefault.cpp only.
#pragma once

#include <cstdint>
#include <deque>

#include "loop/offload.h"
#include "model/prefault.h"

namespace ggufd::model {

// Between two looks at whether it is still wanted; also how long the kernel keeps others from changing the
// process's mappings.
inline constexpr std::uint64_t prefault_step_bytes = std::uint64_t{4} << 20U;

// Of all files laid one behind the other.
struct Range {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

struct PrefaultFiles {
  Copies copies;
  Mappings mappings;
};

// Brings the range's beginning into memory, as much of it as one job may take: the number of bytes.
Result<std::uint64_t> read_range(const PrefaultFiles& files, PrefaultWay way, Range range,
                                 loop::CancelToken token);

Result<std::uint64_t> resident_bytes(const PrefaultFiles& files, Range range);

// What is in memory, and the slices that are not wholly.
struct PageCount {
  std::uint64_t resident_bytes = 0;
  std::deque<Range> missing;
};
// `map_failed` also where a file has become shorter.
Result<PageCount> count_pages(const PrefaultFiles& files, std::uint64_t total_bytes, loop::CancelToken token);

}  // namespace ggufd::model
