// A blob that is still being fetched: `.partial-<sha256>/data.tmp` and, beside it, the downloader's
// `journal.json`.
#pragma once

#include <string>

#include "store/digest.h"
#include "store/file.h"
#include "store/folder.h"

namespace ggufd::store {

// Holds data.tmp open for reading and writing, with an exclusive flock on it: of all processes that share the
// store, one writes it. Destroyed, it lets go and leaves the files for a later resume.
class Partial {
 public:
  const Digest& key() const { return key_; }
  int fd() const { return data_.get(); }
  const std::string& folder() const { return folder_.path; }
  std::string data_path() const { return folder_.path_of(data_name); }
  std::string journal_path() const { return folder_.path_of(journal_name); }

  // Throws the bytes away: removes the folder and what is in it, then lets go.
  Result<void> discard() &&;

  inline static const std::string data_name = "data.tmp";
  inline static const std::string journal_name = "journal.json";

 private:
  friend class BlobStore;
  Partial(const Digest& key, Folder shard, Folder folder, UniqueFd data)
      : key_(key), shard_(std::move(shard)), folder_(std::move(folder)), data_(std::move(data)) {}

  // Removes what lies beside data.tmp: the journal, and what an interrupted write of it may have left.
  Result<void> remove_rest();
  // Removes the folder where it is empty: another process may have begun anew in it as soon as data.tmp was
  // gone.
  Result<void> remove_folder();

  Digest key_;
  Folder shard_;   // blobs/sha256/<aa>
  Folder folder_;  // .partial-<sha256> in it
  UniqueFd data_;
};

// ".partial-<sha256>"
std::string partial_folder_name(const Digest& key);

}  // namespace ggufd::store
