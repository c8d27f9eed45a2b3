// The answer to `status` in the room that one line has.
#pragma once

#include <cstddef>

#include "protocol/answer.h"

namespace ggufd {

// The answer where its JSON has at most `max_bytes`. Else one that tells less of each model: the last words
// of the engines and the sentences are cut, of all models at the same length, and the longest as little as
// will do; then `sha256`, `bytes`, the times of the last load and how engines ended are left out; the
// sentences go last. Every model stays, with its state. What does not fit even then comes back as short as it
// gets. Pure.
answer::Status fitted(answer::Status status, std::size_t max_bytes);

}  // namespace ggufd
