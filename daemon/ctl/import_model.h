// One model brought into the store: its files, its manifest, its links.
#pragma once

#include <functional>
#include <string>

#include "ctl/import_candidates.h"
#include "protocol/error.h"
#include "store/blob_store.h"

namespace ggufd::ctl {

struct ImportedModel {
  std::string name;
  std::vector<store::Digest> shards;  // one for a model that is not split
  std::uint64_t size_bytes = 0;
  std::string path;        // the first file's blob
  bool was_there = false;  // the store had all of it under this name
};

// Told how much of all files is done; false ends the import.
using OnImportProgress = std::function<bool(std::uint64_t done_bytes)>;

// Errors: `busy` where another program works on that name, `bad_field` where the name stands for something
// else already, `invalid_gguf` or `unsupported_gguf` for a model that would not be loaded, and those of
// store::import_blob(). Blobs that were finished before an error stay, for gc or
// the next attempt; the manifest is written last.
Result<ImportedModel> import_model(const store::BlobStore& store, const ImportCandidate& candidate,
                                   const std::string& name, const OnImportProgress& on_progress);

}  // namespace ggufd::ctl
