// The store of models on disk (docs/store.md has the layout). Other tools use the same layout, and other
// processes the same store at the same time.
//
// What a crash, at any moment, can leave behind: `data` under its digest exists only complete, synced and
// hashed (commit() gives it that name as the last step but the stamp); a `data` without a stamp, or with one
// that does not fit, is hashed once more before it is used; everything unfinished lies in `.partial-…`
// folders, for a resume.
//
// Every member is const and keeps nothing in memory, so one BlobStore may be used by all threads of the pool
// at once. Everything blocks. Errors: `io`, `disk_full`, and what the members name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/error.h"
#include "store/digest.h"
#include "store/file.h"
#include "store/folder.h"
#include "store/local_stamp.h"
#include "store/partial.h"
#include "store/quarantine.h"
#include "store/verified.h"

namespace ggufd::store {

// The files in a blob's folder.
inline const std::string blob_data_name = "data";
inline const std::string blob_record_name = "verified.json";

// A complete blob, open. What was verified is what `fd` reads, whatever happens to the path: parse, map and
// hand on this descriptor.
//
// The open file holds a shared flock: as long as this descriptor, or one that was inherited or duplicated
// from it, is open, the blob is in use, and nobody who keeps to the rules (store/removal.h) removes it.
struct FoundBlob {
  UniqueFd fd;  // O_RDONLY | O_NOFOLLOW | O_CLOEXEC
  std::string path;
  std::uint64_t size_bytes = 0;
  Integrity integrity = Integrity::hashed;  // with needs_hash: what will hold once the caller has hashed it
  bool needs_hash = true;                   // hash `fd` and compare before anything else; then write_stamp()
  std::string
      reason;      // a clause for the log: why needs_hash, or why commit() could write no stamp; else empty
  StatStamp stat;  // taken when it was opened
  std::optional<Timestamp> verified_at;  // of the last full hash, where a stamp says so and holds
};

class BlobStore {
 public:
  // `root` is an absolute path; nothing is touched or made before it is needed.
  explicit BlobStore(std::string root) : root_(std::move(root)) {}

  const std::string& root() const { return root_; }
  std::string blob_folder(const Digest& digest) const;
  std::string blob_path(const Digest& digest) const;
  std::string partial_folder(const Digest& key) const;
  std::string manifest_path(std::string_view name) const;
  std::string quarantine_folder() const;

  // The blob of that digest, where it is in the store. Its stat is believed only where the file, its stamp
  // and their folders up to the root belong to us or root and nobody else may write them; in every other
  // case, and where the stamp is missing, malformed or does not fit, needs_hash is set. A `data` that is no
  // regular file is an error. One that is being removed (somebody holds its exclusive flock) is as good as
  // not there.
  Result<std::optional<FoundBlob>> find(const Digest& digest) const;

  // Opens, or begins, the partial download of `key`: the blob's digest or, where a source does not publish
  // it, the SHA-256 of the source's name. `busy` where another process (or this one, elsewhere) is writing
  // it.
  Result<Partial> open_partial(const Digest& key) const;

  // Makes the partial's bytes the blob `digest`. The caller has hashed the `size_bytes` bytes of `partial` to
  // `digest` and has no write under way. The returned descriptor reads the very file that was hashed. Where
  // the blob is there already (another process was first) and need not be hashed, that one is returned and
  // the partial removed.
  // `busy` where another process took the partial over in the moment of the call; `size_mismatch` where the
  // file is not `size_bytes` long. After an error the bytes are still there, for open_partial() or, where
  // only the last steps failed, for find(). A stamp that could not be written (a full disk) is no error: the
  // blob is good, `reason` says what happened, and the next start hashes it once more.
  Result<FoundBlob> commit(Partial partial, const Digest& digest, std::uint64_t size_bytes,
                           std::string_view url) const;

  // Records that all of `blob` was read through its descriptor and hashed to `digest`: a new stamp, which
  // keeps the old one's URL; `needs_hash` is cleared. False, and no stamp, where the file changed since
  // find() opened it.
  Result<bool> write_stamp(const Digest& digest, FoundBlob& blob) const;

  // Puts the partial's bytes away and removes its folder; the path they have now.
  Result<std::string> quarantine(Partial partial, const QuarantineEvidence& evidence) const;
  // Puts a finished blob away, its stamp is removed first; an empty `evidence.url` is filled from the stamp.
  // `not_in_store` where there is none. Those who have it open keep what they have.
  Result<std::string> quarantine_blob(const Digest& digest, const QuarantineEvidence& evidence) const;

  // The stamp of a local file that is used in place, where one was written and holds. `fd` is the open file,
  // `path` its absolute path. Nothing where the file has to be hashed; never an error for a malformed stamp.
  Result<std::optional<FoundLocalStamp>> find_local_stamp(int fd, const std::string& path) const;
  // Records that the file was hashed to `digest`; `before` was taken before the hashing began. False, and no
  // stamp, where the file changed meanwhile or had been written so shortly before that a change could go
  // unseen.
  Result<bool> write_local_stamp(int fd, const std::string& path, const Digest& digest,
                                 const BeforeHash& before) const;

 private:
  // Gives the partial's file its name as a blob; the folder that it lies in then.
  Result<Folder> publish(const Partial& partial, const Digest& digest) const;
  Result<Folder> make_quarantine_folder() const;

  std::string root_;
};

}  // namespace ggufd::store
