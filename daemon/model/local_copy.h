// A model's bytes on this machine: what is there, and what is known of it. Everything here blocks: call it on
// the pool.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "config/config.h"
#include "protocol/error.h"
#include "protocol/load_phase.h"
#include "store/blob_store.h"

namespace ggufd::model {

// An open file that is, or is to become, the model. What is hashed, parsed, mapped and handed on is this
// descriptor.
struct LocalCopy {
  std::shared_ptr<store::FoundBlob> blob;  // of the store; else `file`
  store::UniqueFd file;                    // a local file, used in place
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

// What the model's bytes must be, as far as the configuration and the manifest say.
struct Expectation {
  std::optional<store::Digest> digest;
  // Names the partial while the digest is not known: the SHA-256 of the source's name.
  store::Digest partial_key;
};
Result<Expectation> expectation_of(const store::BlobStore& store, const config::ModelConfig& model);

// The path that is looked at first: the local file, the blob, or the manifest that would name the blob.
std::string path_to_check(const store::BlobStore& store, const config::ModelConfig& model);

// The copy that is here; nothing where it has to be fetched. `size_mismatch` where it has another size than
// size_bytes says; `bad_source` where a local file is not there or is no regular file.
Result<std::optional<LocalCopy>> find_local_copy(const store::BlobStore& store,
                                                 const config::ModelConfig& model,
                                                 const std::optional<store::Digest>& expected);

LocalCopy local_copy_of(store::FoundBlob blob, const store::Digest& digest);

// Feeds bytes of the open file to the hasher.
Result<void> hash_slice(int fd, std::uint64_t offset, std::uint64_t length, store::Sha256& hasher,
                        const std::string& path);

// Records that the whole copy was hashed to `digest`, so that the next start need not do it again. `io` where
// the file changed while it was hashed. A stamp that cannot be written (a full disk) is no error:
// `not_stamped` says why.
Result<void> record_hash(const store::BlobStore& store, LocalCopy& copy, const store::Digest& digest);

// Writes the manifest of a model that was fetched; one that says the same already is left alone.
Result<void> record_manifest(const store::BlobStore& store, const config::ModelConfig& model,
                             const store::Digest& digest, std::uint64_t size_bytes);

}  // namespace ggufd::model
