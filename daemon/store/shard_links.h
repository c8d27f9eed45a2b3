// links/<model>/<file name> -> a blob: the real names that engines need to find the shards of a split GGUF.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/error.h"
#include "store/blob_store.h"

namespace ggufd::store {

struct ShardLink {
  std::string
      file_name;  // "model-00001-of-00003.gguf"; a plain file name of at most 200 bytes, no dot in front
  Digest digest;
};

// Makes the folder links/<model> of the store hold exactly these links (relative ones, to blobs/…), and
// returns the path of the first. Links that are there already and right are not touched; others in that
// folder are removed. The caller holds the model's lock (store/model_lock.h): two at the same time would
// remove each other's. `bad_field` for a model name or a file name that is none, and for two files of one
// name. Blocks.
Result<std::string> link_shards(const BlobStore& store, std::string_view model,
                                const std::vector<ShardLink>& shards);

}  // namespace ggufd::store
