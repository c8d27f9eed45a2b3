// fs-verity: a file whose content the kernel keeps from changing and checks on every read against a Merkle
// tree (Linux Documentation/filesystems/fsverity.rst). A feature of some kernels and file systems (ext4,
// f2fs, btrfs), never a requirement: what is not supported is simply not there.
#pragma once

#include <optional>
#include <string>

namespace ggufd::store {

// Seals the file. `fd` must be read-only and nobody may have it open for writing; the kernel reads it once as
// a whole. False where kernel or file system do not do that, or somebody has it open for writing.
bool enable_verity(int fd);

// The digest of the file's Merkle tree, "sha256:<hex>" or "sha512:<hex>"; not the SHA-256 of its bytes.
// Nothing where the file is not sealed.
std::optional<std::string> measure_verity(int fd);

}  // namespace ggufd::store
