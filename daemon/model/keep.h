// What the store remembers of a model that was fetched, or whose local files were pinned on first use: its
// manifest and, of a split one that was fetched, the links with the shards' real names. Everything here
// blocks: call it on the pool.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/source.h"
#include "model/mapped_model.h"
#include "model/model_files.h"
#include "protocol/error.h"
#include "store/blob_store.h"

namespace ggufd::model {

// A model all of whose files are here: in the store, or their owner's.
struct KeptModel {
  std::string name;
  std::vector<store::Digest> digests;  // of its files, in their order
  std::uint64_t size_bytes = 0;        // of all files
  config::Source source;               // that the first file came from
  std::string revision;                // the commit there; empty: what the source itself says
};

// Local files that are used in place, all of them hashed.
KeptModel kept_in_place(const std::string& name, const Copies& copies);

// Writes the manifest; one that names the same blobs and size already is left alone.
Result<void> record_manifest(const store::BlobStore& store, const KeptModel& model);

// Makes the links of a split model's shards (store/shard_links.h); every file must have its digest. The path
// of the first one.
Result<std::string> link_files(const store::BlobStore& store, const std::string& model,
                               const std::vector<ModelFile>& files);

}  // namespace ggufd::model
