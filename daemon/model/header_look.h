// The look at a GGUF's header while the rest of it is still to come: what is no GGUF, or can't be loaded on
// this machine, is not fetched.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "config/config.h"
#include "fetch/inspect.h"
#include "gguf/memory_plan.h"
#include "memory/limits.h"

namespace ggufd::model {

// The part of the configuration that decides how much memory a model takes.
gguf::MemorySettings memory_settings(const config::ModelConfig& model);

// A header that does not end within so many bytes is not looked at: it is judged when the model is mapped.
inline constexpr std::uint64_t max_looked_at_bytes = std::uint64_t{256} << 20;

struct LookSettings {
  std::string model;  // its name, for the sentences
  gguf::MemorySettings memory;
  std::uint64_t headroom_bytes = 0;  // memory that the plan must leave free
  // False: it is fetched only, so what would be refused is said as a warning.
  bool is_to_be_loaded = true;
  unsigned file = 0;   // of a split model: which of its files, from 0
  unsigned files = 1;  // and of how many
  // Of the model's other files, as far as they are known.
  std::uint64_t other_files_bytes = 0;
  // Of all its files, where the configuration says so.
  std::optional<std::uint64_t> all_files_bytes;
  memory::SystemFolders system;
};

// The verdict:
//   - a header with defects is their error where the digest is not known; where it is, the digest decides,
//   and there is
//     no verdict, but for a file that is no GGUF at all and whose size nobody tells: it might never end;
//   - size_bytes, where the server does not tell the size: what the header says, the last tensor's padding
//   included;
//   - out_of_memory_budget where the weights, the KV cache and what computing takes, as far as each is known,
//     and the headroom are more than a limit that nothing can exceed; the warning memory_preflight where they
//     are more than what is left now. Only the first file has the keys to tell a KV cache by.
fetch::Inspect header_look(LookSettings settings);

}  // namespace ggufd::model
