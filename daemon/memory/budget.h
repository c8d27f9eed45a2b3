// Whether a model fits: what it needs against what the machine and every limit above the process leave, less
// a headroom and what other models of this process hold or have been promised. Pure; numbers are bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gguf/memory_plan.h"
#include "memory/limits.h"

namespace ggufd::memory {

// What a model takes, as far as it is known.
struct Need {
  std::uint64_t weights_bytes = 0;             // pages of its files
  std::optional<std::uint64_t> kv_bytes;       // anonymous memory
  std::optional<std::uint64_t> compute_bytes;  // anonymous memory, the least

  // What is known of it; sums stop at 2^64 - 1.
  std::uint64_t anonymous_bytes() const;
  std::uint64_t bytes() const;

  friend bool operator==(const Need&, const Need&) = default;
};

Need need_of(const gguf::MemoryPlan& plan);

// What models hold or have been promised and the kernel's numbers don't show as used.
struct Held {
  // Pages of files that are, or will be, mapped: the kernel takes them for available, as it could drop them.
  // Locked pages are not among them.
  std::uint64_t file_bytes = 0;
  std::uint64_t promised_bytes = 0;  // anonymous memory that is not taken yet
  std::uint64_t unmapped_bytes = 0;  // of both, what has no address space yet

  std::uint64_t bytes() const;  // of memory
  Held& operator+=(const Held& other);

  friend bool operator==(const Held&, const Held&) = default;
};

// What there is for one model.
struct Room {
  std::vector<Bound> limits;  // what each leaves now, whoever is to get it; not empty
  Held held;                  // by others
  std::uint64_t headroom_bytes = 0;
  // What the model itself has taken already, of memory that is used and of address space.
  std::uint64_t own_anonymous_bytes = 0;
  std::uint64_t own_mapped_bytes = 0;

  // For all of the model: less headroom and what others hold; not below 0.
  std::uint64_t left_below(const Bound& limit) const;
  const Bound& tightest() const;          // the limit below which the least is left
  std::uint64_t available_bytes() const;  // below that one
  bool fits(const Need& need) const { return need.bytes() <= available_bytes(); }
};

// "2.50 GiB: weights 2.00 GiB, KV cache 400.0 MiB, compute 112.0 MiB": parts that are not known are not
// named.
std::string to_string(const Need& need);
// "3.00 GiB left: MemAvailable 5.50 GiB, less 512.0 MiB of headroom, less 2.00 GiB that other models hold"
std::string to_string(const Room& room);
// "512 B", "1.5 MiB", "2.25 GiB"
std::string amount(std::uint64_t bytes);

}  // namespace ggufd::memory
