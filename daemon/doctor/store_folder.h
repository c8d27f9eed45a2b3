// The checks of the store's folder itself, and of the room around it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "config/config.h"
#include "doctor/group.h"
#include "protocol/error.h"

namespace ggufd::doctor {

// Whether the folder can be used at all. `has_to_fetch`: something will be written.
bool check_store_folder(const std::string& root, bool has_to_fetch, Group& group);

// `magic` as statfs(2) has it.
void judge_file_system(std::int64_t magic, Group& group);
// The kind of the file system that `path`, or the nearest folder above it that is there, lies on.
Result<std::int64_t> file_system_magic(const std::string& path);

// What the configuration still has to fetch, as far as it tells.
struct ToFetch {
  std::size_t models = 0;
  std::uint64_t bytes = 0;           // of those whose size is known, less what has arrived
  std::uint64_t reserved_bytes = 0;  // of these, for which downloads that were begun hold room already
  std::size_t models_of_unknown_size = 0;
};

// `free_bytes`: what users without privileges may still write.
void judge_space(const ToFetch& to_fetch, std::uint64_t free_bytes, Group& group);
Result<std::uint64_t> free_bytes_at(const std::string& path);

}  // namespace ggufd::doctor
