// What can be imported: files of this machine put together to models, shards of one GGUF as one. Reads,
// changes nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ctl/context.h"
#include "protocol/error.h"
#include "store/foreign_store.h"

namespace ggufd::ctl {

struct ImportCandidate {
  std::string title;                      // what it is called where it is; of a split GGUF the first shard's
  std::string name;                       // the name that it would get here
  std::vector<store::ForeignFile> files;  // one, or all shards in order
  std::uint64_t size_bytes() const;
};

struct ImportCandidates {
  std::vector<ImportCandidate> models;
  std::vector<std::string> problems;
};

// A model's name that is like `file_name`: without .gguf and a shard's number, other characters replaced by
// '-'.
std::string suggested_name(std::string_view file_name);

// Puts the shards together. A set that is not whole is a problem and no candidate.
ImportCandidates group_shards(store::ForeignListing listing);

// A GGUF file that somebody names, with its other shards beside it. `bad_source` where it, or one of them, is
// not there.
Result<ImportCandidate> candidate_of_file(const std::string& path);

// What the cache of "hf", "ollama" or "llama.cpp" has, at the place that the environment names. `bad_source`
// where there is none.
Result<ImportCandidates> candidates_of(const std::string& origin, const Context& context);
bool is_origin(const std::string& text);

}  // namespace ggufd::ctl
