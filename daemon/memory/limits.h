// How much memory this process may have: what the machine has, and every limit above the process.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/error.h"

namespace ggufd::memory {

// Where the kernel tells of itself; another place in tests.
struct SystemFolders {
  std::string proc = "/proc";
  std::string cgroup = "/sys/fs/cgroup";
};

// A cgroup (v2) with a limit (https://docs.kernel.org/admin-guide/cgroup-v2.html, "Memory Interface Files").
struct CgroupMemory {
  std::string path;  // below the hierarchy's root, "/system.slice/ggufd.service"; "/": the root
  std::optional<std::uint64_t> max_bytes;   // memory.max: beyond it processes are killed
  std::optional<std::uint64_t> high_bytes;  // memory.high: beyond it they are slowed down
  // memory.current without the file pages on the kernel's lists, which it drops where memory is asked for: as
  // MemAvailable counts them for the machine.
  std::uint64_t used_bytes = 0;

  friend bool operator==(const CgroupMemory&, const CgroupMemory&) = default;
};

struct Limits {
  std::uint64_t total_bytes = 0;      // MemTotal
  std::uint64_t available_bytes = 0;  // MemAvailable: free, or given back for the asking
  std::vector<CgroupMemory>
      cgroups;  // the process's own first, then those above it; those without a limit are left out
  std::optional<std::uint64_t> address_space_bytes;  // RLIMIT_AS, the soft one
  std::uint64_t address_space_used_bytes = 0;        // VmSize

  friend bool operator==(const Limits&, const Limits&) = default;
};

// Blocks for a moment. `io` where the machine's own numbers cannot be read; a cgroup that cannot be read (it
// lies outside of this container) limits nothing that can be known.
Result<Limits> read_limits(const SystemFolders& folders = {});

// The process's cgroup, below the hierarchy's root and without a slash at its end: "" is the root, or nothing
// is known. The cgroups above it are the paths' beginnings.
std::string own_cgroup(const SystemFolders& folders);

// One limit, with the name that people know it by: "MemTotal", "memory.max of the cgroup /a/b", "RLIMIT_AS".
struct Bound {
  std::string name;
  std::uint64_t bytes = 0;
  bool is_address_space = false;  // it limits what is mapped, not what is in memory

  friend bool operator==(const Bound&, const Bound&) = default;
};

// What nothing can exceed, whatever else gives its memory back: the machine's first.
std::vector<Bound> hard_limits(const Limits& limits);
// What is left now below each limit, memory.high included: the machine's first.
std::vector<Bound> available_memory(const Limits& limits);
// The least of them; there must be one.
const Bound& tightest(const std::vector<Bound>& bounds);

}  // namespace ggufd::memory
