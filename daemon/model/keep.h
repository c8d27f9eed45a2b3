// What the store remembers of a model that was fetched: its manifest and, of a split one, the links with the
// shards' real names. Everything here blocks: call it on the pool.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/source.h"
#include "model/model_files.h"
#include "protocol/error.h"
#include "store/blob_store.h"

namespace ggufd::model {

// A model all of whose files are in the store.
struct KeptModel {
  std::string name;
  std::vector<store::Digest> digests;  // of its files, in their order
  std::uint64_t size_bytes = 0;        // of all files
  config::Source source;               // that the first file came from
  std::string revision;                // the commit there; empty: what the source itself says
};

// Writes the manifest; one that names the same blobs and size already is left alone.
Result<void> record_manifest(const store::BlobStore& store, const KeptModel& model);

// Makes the links of a split model's shards (store/shard_links.h); every file must have its digest. The path
// of the first one.
Result<std::string> link_files(const store::BlobStore& store, const std::string& model,
                               const std::vector<ModelFile>& files);

}  // namespace ggufd::model
