// A look at a file's beginning while the rest is still to come, so that what can't be used is not fetched.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/error.h"

namespace ggufd::fetch {

struct Arrived {
  int fd = -1;                               // open for reading
  std::uint64_t front_bytes = 0;             // that have arrived without a gap from offset 0 on
  std::optional<std::uint64_t> total_bytes;  // the size that the server tells, where it does
  bool is_digest_known = false;  // wrong bytes will be found, so a defect is not sure to be the source's
};

struct Verdict {
  // The look has to be repeated once so many bytes are there; nothing: it is done.
  std::optional<std::uint64_t> wants_front_bytes;
  // The size that the file must have, as its header says.
  std::optional<std::uint64_t> size_bytes;
  // Code and sentence, to be told as warnings.
  std::vector<std::pair<std::string, std::string>> warnings;
};

// Runs on the pool. An error ends the pull with it: nothing more is fetched, what has come is kept. But
// invalid_gguf and unsupported_gguf blame the bytes: they are thrown away, and the next mirror is asked.
using Inspect = std::function<Result<Verdict>(const Arrived&)>;

// The first look is taken when so much is there, or the whole file.
inline constexpr std::uint64_t first_look_bytes = std::uint64_t{64} << 10U;

}  // namespace ggufd::fetch
