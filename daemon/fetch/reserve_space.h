// Room on the disk for a file that is to come.
#pragma once

#include <cstdint>
#include <string>

#include "protocol/error.h"

namespace ggufd::fetch {

// Gives the open file its full length, backed by blocks, so that no other download can take the space.
// `disk_full` with what is needed, what is there, and where. A file system that cannot reserve: success, the
// writes will tell. Blocks.
Result<void> reserve_space(int fd, std::uint64_t total_bytes, const std::string& path);

}  // namespace ggufd::fetch
