// Hashing what lies on the disk, slice by slice, so that it can be stopped and its progress told.
#pragma once

#include <cstdint>
#include <string>

#include "protocol/error.h"
#include "store/digest.h"

namespace ggufd::store {

// Feeds `length` bytes of the open file from `offset` on to the hasher. `io` where the file ends before.
// Blocks.
Result<void> hash_slice(int fd, std::uint64_t offset, std::uint64_t length, Sha256& hasher,
                        const std::string& path);

}  // namespace ggufd::store
