#include "store/stat_stamp.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace ggufd::store {
namespace {

constexpr std::int64_t ns_per_s = 1'000'000'000;

std::int64_t nanoseconds(const struct statx_timestamp& time) {
  return time.tv_sec * ns_per_s + time.tv_nsec;
}

}  // namespace

Result<StatStamp> stat_stamp(int fd, const std::string& path) {
  struct statx status{};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &status) < 0) {
    return std::unexpected(system_error(fmt::format("reading the stat of {}", path), errno));
  }
  StatStamp stamp{.dev = ::makedev(status.stx_dev_major, status.stx_dev_minor),
                  .ino = status.stx_ino,
                  .size_bytes = status.stx_size,
                  .mtime_ns = nanoseconds(status.stx_mtime),
                  .ctime_ns = nanoseconds(status.stx_ctime),
                  .btime_ns = std::nullopt};
  if ((status.stx_mask & STATX_BTIME) != 0) stamp.btime_ns = nanoseconds(status.stx_btime);
  return stamp;
}

std::string first_difference(const StatStamp& recorded, const StatStamp& now) {
  if (recorded.dev != now.dev) return "dev";
  if (recorded.ino != now.ino) return "ino";
  if (recorded.size_bytes != now.size_bytes) return "size_bytes";
  if (recorded.mtime_ns != now.mtime_ns) return "mtime_ns";
  if (recorded.ctime_ns != now.ctime_ns) return "ctime_ns";
  if (recorded.btime_ns != now.btime_ns) return "btime_ns";
  return "";
}

bool is_settled(const StatStamp& stamp, std::int64_t taken_at_ns) {
  // Twice the longest tick (CONFIG_HZ=100); FAT, the coarsest file system in use, counts in steps of 2 s.
  constexpr std::int64_t tick_ns = 20'000'000;
  const std::int64_t granularity_ns = stamp.ctime_ns % ns_per_s == 0 ? 2 * ns_per_s : tick_ns;
  return taken_at_ns - stamp.ctime_ns >= granularity_ns;
}

std::int64_t realtime_ns() {
  struct timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * ns_per_s + now.tv_nsec;
}

std::string distrust_of(const struct stat& status, const std::string& path) {
  if (status.st_uid != ::geteuid() && status.st_uid != 0)
    return fmt::format("{} belongs to user {}", path, status.st_uid);
  if ((status.st_mode & S_IWGRP) != 0) return fmt::format("{} may be written by its group", path);
  if ((status.st_mode & S_IWOTH) != 0) return fmt::format("{} may be written by everyone", path);
  return "";
}

}  // namespace ggufd::store
