#include "fetch/reserve_space.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

namespace ggufd::fetch {
namespace {

Error no_space(std::uint64_t needed_bytes, std::uint64_t free_bytes, const std::string& path) {
  return {
      ErrorCode::disk_full,
      fmt::format("{} needs {} bytes more and its file system has {} free; make room, or move the store with "
                  "models_home; what has arrived is kept",
                  path, needed_bytes, free_bytes)};
}

}  // namespace

Result<void> reserve_space(int fd, std::uint64_t total_bytes, const std::string& path) {
  // One at a time: two that ask for the last room at once could each take a part of it, and both be refused.
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  struct stat status{};
  struct statvfs volume{};
  if (total_bytes == 0 || ::fstat(fd, &status) != 0 || ::fstatvfs(fd, &volume) != 0) return {};
  // What other downloads have reserved is not free any more: they hold blocks, not promises.
  const std::uint64_t held_bytes = static_cast<std::uint64_t>(status.st_blocks) * 512;
  const std::uint64_t needed_bytes = total_bytes - std::min(total_bytes, held_bytes);
  const std::uint64_t free_bytes = static_cast<std::uint64_t>(volume.f_bavail) * volume.f_frsize;
  if (needed_bytes > free_bytes) return std::unexpected(no_space(needed_bytes, free_bytes, path));
#ifdef __linux__
  if (::fallocate(fd, 0, 0, static_cast<off_t>(total_bytes)) == 0) return {};
  if (errno == ENOSPC || errno == EDQUOT) return std::unexpected(no_space(needed_bytes, free_bytes, path));
  if (errno == EFBIG)
    return fail(ErrorCode::disk_full, fmt::format("{} may not grow to {} bytes", path, total_bytes));
#endif
  return {};
}

}  // namespace ggufd::fetch
