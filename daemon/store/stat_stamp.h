// What the kernel says of a file, to recognise later that it is the same file and that nobody has written to
// it; and the rule that decides whose files such a comparison may be believed of.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

#include "protocol/error.h"
#include "protocol/fields.h"

namespace ggufd::store {

// A user who may write a file can set its mtime back, but not its ctime, and a file that was replaced has
// another inode or birth time. Device and inode alone are used again.
struct StatStamp {
  std::uint64_t dev = 0;
  std::uint64_t ino = 0;
  std::uint64_t size_bytes = 0;
  std::int64_t mtime_ns = 0;  // nanoseconds since 1970, as the file system keeps them
  std::int64_t ctime_ns = 0;
  std::optional<std::int64_t> btime_ns;  // not every file system has one

  static void fields(auto& self, auto&& f) {
    f("dev", self.dev, "the device's number");
    f("ino", self.ino, "the inode's number");
    f("size_bytes", self.size_bytes, "the file's size");
    f("mtime_ns", self.mtime_ns, "last change of the content, nanoseconds since 1970");
    f("ctime_ns", self.ctime_ns, "last change of content or attributes");
    f("btime_ns", self.btime_ns, "when the file was made, where the file system says");
  }
  friend bool operator==(const StatStamp&, const StatStamp&) = default;
};

Result<StatStamp> stat_stamp(int fd, const std::string& path);

// The first field in which two stamps differ, by its name; empty where they are equal.
std::string first_difference(const StatStamp& recorded, const StatStamp& now);

// False where `stamp`, taken at `taken_at_ns` (realtime clock), is so fresh that a write right after it could
// have left the same ctime behind: the clock of time stamps advances with the kernel's tick (10 ms at most),
// or by up to 2 s where a file system keeps no fractions.
bool is_settled(const StatStamp& stamp, std::int64_t taken_at_ns);
std::int64_t realtime_ns();

// Why the file or folder may have been changed by another user, as a clause; empty where it belongs to us or
// root and neither group nor others may write it (an ACL that lets somebody write shows as the group's bit).
std::string distrust_of(const struct stat& status, const std::string& path);

}  // namespace ggufd::store
