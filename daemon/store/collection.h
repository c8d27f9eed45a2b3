// What is in the store, and what of it nobody needs: for ls, rm and gc. Everything blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "protocol/error.h"
#include "protocol/load_phase.h"
#include "store/blob_store.h"
#include "store/manifest.h"

namespace ggufd::store {

struct ListedModel {
  std::string name;
  std::vector<Digest> shards;    // one for a model that is not split
  std::uint64_t size_bytes = 0;  // of all shards
  bool is_complete = false;      // every blob is there
  bool is_in_place = false;      // no blobs: its owner's files, pinned on first use; `path` is the first
  Integrity integrity = Integrity::hashed;  // the weakest of its blobs
  bool needs_hash = false;  // of at least one blob nothing may be believed until it is hashed again
  std::optional<Timestamp> verified_at;  // the oldest of its blobs
  std::string path;                      // the first shard's data
};

struct ListedBlob {
  Digest digest;
  std::uint64_t size_bytes = 0;
  std::string path;
  bool is_in_use = false;  // a process has it loaded (FoundBlob's lock)
};

struct ListedPartial {
  Digest key;
  std::uint64_t size_bytes = 0;  // on the disk, with what is reserved there; not what has arrived
  std::string path;              // its folder
  std::string source_url;        // of its journal; empty where it has none
  Timestamp modified_at;
  bool is_in_use = false;  // somebody is writing it
};

struct ListedQuarantine {
  std::string path;
  std::uint64_t size_bytes = 0;
  std::optional<QuarantineRecord> record;  // nothing: its evidence is missing or malformed
  Timestamp put_away_at;                   // as the evidence says, else when the file was last changed
};

// What an interrupted step has left behind; nobody will ask for it again.
struct ListedLeftover {
  std::string path;
  std::uint64_t size_bytes = 0;
  std::string what;  // "a temporary file", "a blob's folder without its data"
  Timestamp modified_at;
};

struct Collection {
  std::vector<ListedModel> models;  // by name
  std::vector<ListedBlob> orphans;  // that no manifest names
  std::vector<ListedPartial> partials;
  std::vector<ListedQuarantine> quarantine;
  std::vector<ListedLeftover> leftovers;
  std::vector<std::string> linked_models;  // that have a folder of links, by name
  std::vector<std::string> problems;       // sentences: what is there and could not be read
  // False where a manifest could not be read: what it names may be among the orphans.
  bool are_manifests_known = true;
};

// A store that does not exist is an empty one. Sizes and states are of the moment that each was looked at.
Result<Collection> list_store(const BlobStore& store);

// The names of the models that have a manifest, well-formed or not.
Result<std::vector<std::string>> manifest_names(const BlobStore& store);

}  // namespace ggufd::store
