// A GGUF file of this machine copied into the store, hashed on the way. Everything blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "protocol/error.h"
#include "store/blob_store.h"

namespace ggufd::store {

struct ImportedBlob {
  FoundBlob blob;
  Digest digest;
  bool was_there = false;  // nothing was copied: the store had it
};

// Told how many of the file's bytes are hashed; false ends the import with `cancelled`.
using OnImportedBytes = std::function<bool(std::uint64_t)>;

// Makes the file a blob. `claimed` is the digest that somebody says it has: where the store has a verified
// blob of that digest nothing is copied; else the copy must have it, or it is `sha256_mismatch` and nothing
// is kept. Extents are shared with the file where the file system can (FICLONE); `room_bytes` is what has to
// be free where it can't: the bytes of this file and of those that are to follow it.
//
// Errors: bad_source (no regular file), invalid_gguf and unsupported_gguf (by its first 8 bytes, nothing else
// is looked at), disk_full, busy (somebody else imports the same file), io (also: the file changed
// meanwhile), cancelled. After those that come in the middle of the copy a partial is left, for gc or the
// next attempt.
Result<ImportedBlob> import_blob(const BlobStore& store, const std::string& path,
                                 const std::optional<Digest>& claimed, std::uint64_t room_bytes,
                                 const OnImportedBytes& on_bytes);

// Whether the store's disk has room for so many bytes: `disk_full` names what is needed, what there is, and
// where.
Result<void> check_room(const std::string& store_root, std::uint64_t need_bytes);

}  // namespace ggufd::store
