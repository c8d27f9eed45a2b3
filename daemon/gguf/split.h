// Models that are split over several files ("shards"), as llama.cpp's gguf-split writes them: every file is a
// GGUF of its own; the first one holds the model's keys; names end in -00001-of-00003.gguf.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/defect.h"
#include "gguf/header.h"
#include "protocol/error.h"

namespace ggufd::gguf {

struct Split {
  std::uint16_t no = 0;       // this file's index, from 0
  std::uint16_t count = 0;    // files
  std::uint64_t tensors = 0;  // in all files

  friend bool operator==(const Split&, const Split&) = default;
};

// Nothing where the file is not split (no count, or 0 or 1). invalid_gguf where the keys are of the wrong
// type, one is missing, or they contradict each other.
Result<std::optional<Split>> split_of(const Header& header);

// The names of all files, from the name (or path, or URL) of the first. bad_source where it is no such name,
// or says another number of files than `count`.
Result<std::vector<std::string>> shard_names(std::string_view first, std::uint16_t count);

// What is wrong with a set of files, given in order. `where` of a finding is "shard N" or a tensor's name.
void check_shards(std::span<const Header> shards, Defects& defects);

}  // namespace ggufd::gguf
