#include "instance_lock.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace ggufd {
namespace {

// It is emptied and written: no file that is anything else but ours, or has another name besides.
Result<void> claim(int fd, const std::string& path) {
  const auto status = store::stat_of(fd, path);
  if (!status) return std::unexpected(status.error());
  const auto refused = [&](const std::string& why) {
    return fail(ErrorCode::io,
                fmt::format("{} {}; remove it, or choose another folder with --runtime-dir", path, why));
  };
  if (!S_ISREG(status->st_mode)) return refused("is no regular file");
  if (status->st_uid != geteuid()) return refused(fmt::format("belongs to user {}", status->st_uid));
  if (status->st_nlink != 1) return refused("has another name elsewhere");
  if (fchmod(fd, 0600) != 0)
    return std::unexpected(system_error(fmt::format("setting the mode of {}", path), errno));
  return {};
}

}  // namespace

Result<InstanceLock> InstanceLock::take(const std::string& path) {
  auto file = store::open_file(path, O_RDWR | O_CREAT | O_NONBLOCK, 0600);
  if (!file) return std::unexpected(file.error());
  if (auto claimed = claim(file->get(), path); !claimed) return std::unexpected(claimed.error());
  const auto locked = store::try_lock(file->get(), path);
  if (!locked) return std::unexpected(locked.error());
  if (!*locked) {
    std::string holder = store::read_all(file->get(), 64, path).value_or("");
    holder.erase(holder.find_last_not_of(" \n") + 1);
    return fail(ErrorCode::busy,
                fmt::format("another ggufd (pid {}) holds {}; stop it, or choose another folder with "
                            "--runtime-dir",
                            holder.empty() ? "unknown" : holder, path));
  }
  const std::string pid = fmt::format("{}\n", getpid());
  if (ftruncate(file->get(), 0) != 0)
    return std::unexpected(system_error(fmt::format("emptying {}", path), errno));
  if (auto written = store::pwrite_all(file->get(), std::as_bytes(std::span(pid)), 0, path); !written) {
    return std::unexpected(written.error());
  }
  return InstanceLock(std::move(*file));
}

}  // namespace ggufd
