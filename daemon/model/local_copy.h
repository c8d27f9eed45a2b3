// A model's bytes on this machine: what is there, and what is known of it. Everything here blocks: call it on
// the pool.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "model/model_files.h"
#include "protocol/error.h"
#include "protocol/load_phase.h"
#include "store/blob_store.h"
#include "store/hash_slice.h"

namespace ggufd::model {

// An open file that is, or is to become, the model or a shard of it. What is hashed, parsed, mapped and
// handed on is this descriptor.
struct LocalCopy {
  // Of the store; else `file`. Its lock keeps the blob from being removed. With needs_hash it is nobody
  // else's.
  std::shared_ptr<store::FoundBlob> blob;
  store::UniqueFd file;  // a local file, used in place
  std::optional<store::BeforeHash> before_hash;
  std::string path;
  std::uint64_t size_bytes = 0;
  bool needs_hash = true;
  Integrity integrity = Integrity::hashed;  // what holds now or, with needs_hash, once it is hashed
  std::optional<store::Digest> digest;      // known, or with needs_hash: none yet
  std::string not_stamped;  // a sentence: why what was hashed will be hashed again; else empty

  bool is_in_place() const { return blob == nullptr; }
  int fd() const { return blob ? blob->fd.get() : file.get(); }
};

// The path that is looked at first: the local file, the blob, or the manifest that would name the blob.
std::string path_to_check(const store::BlobStore& store, const config::ModelConfig& model);

// The copies that are here, one for each file; nothing for those that have to be fetched. In this order: the
// local files, where the preferred source names them; the blobs; local files that another mirror names. Local
// files are used where all of them are there, so that a split model's shards lie beside each other, and have
// size_bytes together; else the next mirror is looked at. A symbolic link is followed.
// Where only local files are named and none are usable: `bad_source` or `size_mismatch`, of the first that
// something is wrong with.
Result<std::vector<std::optional<LocalCopy>>> find_local_copies(const store::BlobStore& store,
                                                                const config::ModelConfig& model,
                                                                const std::vector<ModelFile>& files);

LocalCopy local_copy_of(std::shared_ptr<store::FoundBlob> blob, const store::Digest& digest);

// `size_mismatch` where the files have another size than size_bytes says, all together.
// `path` is the first one's.
Result<void> check_size(const config::ModelConfig& model, const std::string& path, std::size_t files,
                        std::uint64_t size_bytes);

// The sentence of `sha256_mismatch` for a local file, which is left as it is.
std::string wrong_local_file(const config::ModelConfig& model, const std::string& path,
                             const store::Digest& actual, const store::Digest& expected);

// Records that the whole copy was hashed to `digest`, so that the next start need not do it again. `io` where
// the file changed while it was hashed. A stamp that cannot be written (a full disk) is no error:
// `not_stamped` says why.
Result<void> record_hash(const store::BlobStore& store, LocalCopy& copy, const store::Digest& digest);

}  // namespace ggufd::model
