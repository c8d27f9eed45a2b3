#include "store/file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

namespace ggufd::store {
namespace {

// Calls until it is not interrupted by a signal.
template <class Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

std::unexpected<Error> open_error(const std::string& path, int error_number) {
  if (error_number == ELOOP) {
    return fail(ErrorCode::io,
                fmt::format("opening {}: it is a symbolic link, which is not followed here", path));
  }
  return std::unexpected(system_error(fmt::format("opening {}", path), error_number));
}

Result<bool> flock_now(int fd, int kind, const std::string& path) {
  if (uninterrupted([&] { return ::flock(fd, kind | LOCK_NB); }) == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  return std::unexpected(system_error(fmt::format("locking {}", path), errno));
}

int open_raw(int folder_fd, const std::string& name, int flags, mode_t mode) {
  return uninterrupted(
      [&] { return ::openat(folder_fd, name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, mode); });
}

// errno of the making; 0: it is made.
int make_dir(const std::string& path, mode_t mode) {
  return ::mkdir(path.c_str(), mode) == 0 ? 0 : errno;
}

}  // namespace

void UniqueFd::reset(int fd) {
  // close() is not tried again after EINTR: on Linux the descriptor is gone by then.
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Result<UniqueFd> open_file_at(int folder_fd, const std::string& name, int flags, mode_t mode,
                              const std::string& path) {
  UniqueFd fd(open_raw(folder_fd, name, flags, mode));
  if (!fd) return open_error(path, errno);
  return fd;
}

Result<UniqueFd> open_file(const std::string& path, int flags, mode_t mode) {
  return open_file_at(AT_FDCWD, path, flags, mode, path);
}

Result<UniqueFd> open_folder(const std::string& path) {
  return open_file(path, O_RDONLY | O_DIRECTORY);
}

Result<std::optional<UniqueFd>> open_regular_at(int folder_fd, const std::string& name, int flags,
                                                mode_t mode, const std::string& path) {
  // O_NONBLOCK keeps the opening of a pipe from waiting for its other end; it is taken back below.
  UniqueFd fd(open_raw(folder_fd, name, flags | O_NONBLOCK | O_NOCTTY, mode));
  if (!fd && errno == ENOENT) return std::nullopt;
  if (!fd) return open_error(path, errno);
  const auto status = stat_of(fd.get(), path);
  if (!status) return std::unexpected(status.error());
  if (!S_ISREG(status->st_mode)) {
    return fail(ErrorCode::io, fmt::format("opening {}: it is no regular file; remove it", path));
  }
  const int now = ::fcntl(fd.get(), F_GETFL);
  if (now < 0 || ::fcntl(fd.get(), F_SETFL, now & ~O_NONBLOCK) < 0) return open_error(path, errno);
  return fd;
}

Result<std::optional<UniqueFd>> open_regular(const std::string& path, int flags) {
  return open_regular_at(AT_FDCWD, path, flags, 0, path);
}

Result<std::optional<UniqueFd>> create_exclusive_at(int folder_fd, const std::string& name, mode_t mode,
                                                    const std::string& path) {
  UniqueFd fd(open_raw(folder_fd, name, O_WRONLY | O_CREAT | O_EXCL, mode));
  if (!fd && errno == EEXIST) return std::nullopt;
  if (!fd) return std::unexpected(system_error(fmt::format("making {}", path), errno));
  return fd;
}

Result<UniqueFd> reopen_read_only(int fd, const std::string& path) {
  // The one link that is followed on purpose: the kernel resolves it to the open file itself.
  const std::string link = fmt::format("/proc/self/fd/{}", fd);
  UniqueFd reopened(uninterrupted([&] { return ::open(link.c_str(), O_RDONLY | O_CLOEXEC); }));
  if (!reopened) {
    return std::unexpected(system_error(fmt::format("opening {} once more through {}", path, link), errno));
  }
  return reopened;
}

Result<struct stat> stat_of(int fd, const std::string& path) {
  struct stat status{};
  if (::fstat(fd, &status) < 0)
    return std::unexpected(system_error(fmt::format("reading the stat of {}", path), errno));
  return status;
}

Result<std::size_t> pread_all(int fd, std::span<std::byte> out, std::uint64_t offset,
                              const std::string& path) {
  std::size_t done = 0;
  while (done < out.size()) {
    const auto at = static_cast<off_t>(offset + done);
    const ssize_t count =
        uninterrupted([&] { return ::pread(fd, out.data() + done, out.size() - done, at); });
    if (count < 0)
      return std::unexpected(system_error(fmt::format("reading {} at byte {}", path, at), errno));
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

Result<void> write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t count = uninterrupted([&] { return ::write(fd, bytes.data(), bytes.size()); });
    if (count < 0) return std::unexpected(system_error(fmt::format("writing {}", path), errno));
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

Result<void> pwrite_all(int fd, std::span<const std::byte> bytes, std::uint64_t offset,
                        const std::string& path) {
  while (!bytes.empty()) {
    const auto at = static_cast<off_t>(offset);
    const ssize_t count = uninterrupted([&] { return ::pwrite(fd, bytes.data(), bytes.size(), at); });
    if (count < 0)
      return std::unexpected(system_error(fmt::format("writing {} at byte {}", path, at), errno));
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

Result<std::string> read_all(int fd, std::size_t max_bytes, const std::string& path) {
  const auto status = stat_of(fd, path);
  if (!status) return std::unexpected(status.error());
  // One byte more than the size that fstat() tells, so that a file which grows meanwhile is noticed too.
  const auto size = static_cast<std::size_t>(status->st_size);
  if (size > max_bytes) {
    return fail(ErrorCode::io,
                fmt::format("reading {}: it has {} bytes, more than the {} allowed", path, size, max_bytes));
  }
  std::string text(size + 1, '\0');
  const auto count = pread_all(fd, std::as_writable_bytes(std::span(text)), 0, path);
  if (!count) return std::unexpected(count.error());
  if (*count > size)
    return fail(ErrorCode::io, fmt::format("reading {}: it grew meanwhile; try again", path));
  text.resize(*count);
  return text;
}

Result<void> sync_file(int fd, const std::string& path) {
  if (uninterrupted([&] { return ::fsync(fd); }) < 0) {
    return std::unexpected(system_error(fmt::format("syncing {} to disk", path), errno));
  }
  return {};
}

Result<void> sync_folder(int fd, const std::string& path) {
  if (uninterrupted([&] { return ::fsync(fd); }) < 0 && errno != EINVAL) {
    return std::unexpected(system_error(fmt::format("syncing the folder {} to disk", path), errno));
  }
  return {};
}

Result<Moved> move_no_replace(int from_folder_fd, const std::string& from, int to_folder_fd,
                              const std::string& to, const std::string& to_path) {
  int error_number = 0;
  if (::renameat2(from_folder_fd, from.c_str(), to_folder_fd, to.c_str(), RENAME_NOREPLACE) < 0)
    error_number = errno;
  if (error_number == EINVAL || error_number == ENOSYS) {
    // A file system without RENAME_NOREPLACE: a hard link is never made over a file either.
    error_number = 0;
    if (::linkat(from_folder_fd, from.c_str(), to_folder_fd, to.c_str(), 0) < 0 ||
        ::unlinkat(from_folder_fd, from.c_str(), 0) < 0) {
      error_number = errno;
    }
  }
  switch (error_number) {
    case 0:
      return Moved::yes;
    case EEXIST:
      return Moved::name_is_taken;
    case EXDEV:
      return Moved::other_file_system;
    default:
      return std::unexpected(system_error(fmt::format("moving {} to {}", from, to_path), error_number));
  }
}

Result<void> remove_file_at(int folder_fd, const std::string& name, const std::string& path) {
  if (::unlinkat(folder_fd, name.c_str(), 0) < 0 && errno != ENOENT) {
    return std::unexpected(system_error(fmt::format("removing {}", path), errno));
  }
  return {};
}

Result<void> make_dirs(const std::string& path, mode_t mode) {
  if (path.empty() || path == "/" || path == ".") return {};
  int error_number = make_dir(path, mode);
  if (error_number == ENOENT) {
    if (auto made = make_dirs(parent_of(path), mode); !made) return made;
    // Once and no more: procfs, for one, says so of every name although the parent is there.
    error_number = make_dir(path, mode);
  }
  if (error_number == 0) {
    const std::string parent = parent_of(path);
    const auto folder =
        UniqueFd(uninterrupted([&] { return ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (!folder) return open_error(parent, errno);
    return sync_folder(folder.get(), parent);
  }
  struct stat status{};
  if (error_number == EEXIST && ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return {};
  if (const auto link = dangling_link(path)) {
    return fail(ErrorCode::io,
                fmt::format("making the folder {}: {} is a link to a place that is not there; mount that "
                            "place, or correct the path",
                            path, *link));
  }
  return std::unexpected(system_error(fmt::format("making the folder {}", path), error_number));
}

std::optional<std::string> dangling_link(std::string path) {
  struct stat status{};
  while (path != "/" && path != "." && ::stat(path.c_str(), &status) != 0) {
    const bool leads_nowhere = errno == ENOENT || errno == ELOOP;
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    if (leads_nowhere && ::lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode)) return path;
    path = parent_of(path);
  }
  return std::nullopt;
}

Result<bool> try_lock(int fd, const std::string& path) {
  return flock_now(fd, LOCK_EX, path);
}

Result<bool> try_lock_shared(int fd, const std::string& path) {
  return flock_now(fd, LOCK_SH, path);
}

std::string join(std::string_view folder, std::string_view name) {
  return fmt::format("{}{}{}", folder, folder.ends_with('/') ? "" : "/", name);
}

std::string parent_of(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(slash == 0 ? "/" : path.substr(0, slash));
}

}  // namespace ggufd::store
