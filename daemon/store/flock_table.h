// Which files somebody holds a flock on, as the kernel tells it: to show what is in use without touching its
// lock (a lock that is only tried is in the way of those who need it for that moment).
#pragma once

#include <cstdint>
#include <set>
#include <string_view>

namespace ggufd::store {

// For a listing, never for a decision: processes of another PID namespace are not seen, and files are told
// apart by the inode's number alone (btrfs and overlayfs have other device numbers there than stat(2) tells).
class FlockTable {
 public:
  // Of this moment; empty where /proc/locks cannot be read.
  static FlockTable now();
  // The text of /proc/locks (proc_locks(5)); lines that it cannot read are passed over.
  static FlockTable parse(std::string_view text);

  bool has(std::uint64_t inode) const { return inodes_.contains(inode); }

 private:
  std::set<std::uint64_t> inodes_;
};

}  // namespace ggufd::store
