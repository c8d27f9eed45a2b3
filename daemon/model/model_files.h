// The files that a model is made of: one, or the shards of a split GGUF.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "protocol/error.h"
#include "store/blob_store.h"

namespace ggufd::model {

struct ModelFile {
  std::vector<config::Source> sources;  // mirrors of its bytes, the preferred first
  std::optional<store::Digest> digest;  // that its bytes must have; nothing: the first that is seen
  bool is_digest_pinned = false;        // it is the manifest's

  // As the preferred source calls it; of a shard "…-00001-of-00003.gguf".
  std::string name() const { return std::string(sources.front().file_name()); }
  // The mirrors that are fetched from.
  std::vector<config::Source> network_sources() const;
};

// Whether the first digests that are seen are recorded in the manifest, and required from then on.
bool is_pinned_on_first_use(const config::ModelConfig& model);

// All files of the model in their order, with the digests of the configuration or, where it pins on first
// use, of the manifest. Blocks. `bad_source` where the mirrors do not name the same number of shards, or not
// the first one; `sha256_mismatch` where the manifest pins another number of files; `io` for a manifest that
// cannot be read.
Result<std::vector<ModelFile>> model_files(const store::BlobStore& store, const config::ModelConfig& model);

}  // namespace ggufd::model
