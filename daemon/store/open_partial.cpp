#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "store/blob_store.h"

namespace ggufd::store {
namespace {

std::unexpected<Error> busy(const std::string& path) {
  return fail(ErrorCode::busy, fmt::format("{} is being written by another download", path));
}

// Whether `name` in the folder still is the file that `fd` has open.
Result<bool> is_still_there(const Folder& folder, const std::string& name, int fd) {
  const std::string path = folder.path_of(name);
  const auto opened = stat_of(fd, path);
  if (!opened) return std::unexpected(opened.error());
  struct stat named{};
  if (::fstatat(folder.fd.get(), name.c_str(), &named, AT_SYMLINK_NOFOLLOW) < 0) {
    if (errno == ENOENT) return false;
    return std::unexpected(system_error(fmt::format("reading the stat of {}", path), errno));
  }
  return named.st_dev == opened->st_dev && named.st_ino == opened->st_ino;
}

// The file as a download needs it: ours, and nobody else's to write.
Result<void> claim(int fd, const std::string& path) {
  const auto status = stat_of(fd, path);
  if (!status) return std::unexpected(status.error());
  if (status->st_uid != ::geteuid()) {
    return fail(ErrorCode::io,
                fmt::format("resuming {}: it belongs to user {}; remove it", path, status->st_uid));
  }
  if ((status->st_mode & 07777) != 0600 && ::fchmod(fd, 0600) < 0) {
    return std::unexpected(system_error(fmt::format("setting the mode of {}", path), errno));
  }
  return {};
}

// A commit that was cut short between its first steps leaves the file read-only, and only root opens that for
// writing. True where it is worth another try. The lock is taken first: one who commits right now holds it,
// and means the mode.
Result<bool> make_writable(const Folder& folder) {
  const std::string path = folder.path_of(Partial::data_name);
  const auto data = open_regular_at(folder.fd.get(), Partial::data_name, O_RDONLY, 0, path);
  if (!data) return std::unexpected(data.error());
  if (!*data) return true;
  const int fd = (*data)->get();
  const auto status = stat_of(fd, path);
  if (!status) return std::unexpected(status.error());
  if (status->st_uid != ::geteuid() || (status->st_mode & S_IWUSR) != 0) return false;
  const auto locked = try_lock(fd, path);
  if (!locked) return locked;
  if (!*locked) return busy(path);
  const auto is_ours = is_still_there(folder, Partial::data_name, fd);
  if (!is_ours) return is_ours;
  if (*is_ours && ::fchmod(fd, 0600) < 0) {
    return std::unexpected(system_error(fmt::format("setting the mode of {}", path), errno));
  }
  return true;
}

// A journal beside an empty file is a leftover (of a commit that a crash cut short): what it tells is not
// there.
Result<void> drop_stale_journal(const Folder& folder, int data_fd) {
  const auto status = stat_of(data_fd, folder.path);
  if (!status) return std::unexpected(status.error());
  if (status->st_size > 0) return {};
  return remove_file_at(folder.fd.get(), Partial::journal_name, folder.path_of(Partial::journal_name));
}

}  // namespace

Result<Partial> BlobStore::open_partial(const Digest& key) const {
  // Another process may commit or discard the partial between any two of these steps. Then the file that was
  // locked is no longer the one called data.tmp (it may be the finished blob!), and all begins anew.
  for (int attempt = 0; attempt < 100; ++attempt) {
    auto shard = make_store_folder(root_, {"blobs", "sha256", key.to_hex().substr(0, 2)});
    if (!shard) return std::unexpected(shard.error());
    auto folder =
        make_store_folder(root_, {"blobs", "sha256", key.to_hex().substr(0, 2), partial_folder_name(key)});
    if (!folder) return std::unexpected(folder.error());
    const std::string path = folder->path_of(Partial::data_name);
    auto data = open_regular_at(folder->fd.get(), Partial::data_name, O_RDWR | O_CREAT, 0600, path);
    if (!data) {
      const auto is_worth_a_try = make_writable(*folder);
      if (!is_worth_a_try) return std::unexpected(is_worth_a_try.error());
      if (!*is_worth_a_try) return std::unexpected(data.error());
      continue;
    }
    if (!*data) continue;  // the folder was removed
    const auto locked = try_lock((*data)->get(), path);
    if (!locked) return std::unexpected(locked.error());
    if (!*locked) return busy(path);
    const auto is_ours = is_still_there(*folder, Partial::data_name, (*data)->get());
    if (!is_ours) return std::unexpected(is_ours.error());
    if (!*is_ours) continue;
    if (auto claimed = claim((*data)->get(), path); !claimed) return std::unexpected(claimed.error());
    if (auto dropped = drop_stale_journal(*folder, (*data)->get()); !dropped)
      return std::unexpected(dropped.error());
    return Partial(key, std::move(*shard), std::move(*folder), std::move(**data));
  }
  return fail(ErrorCode::busy,
              fmt::format("{} is made and removed by another process all the time", partial_folder(key)));
}

}  // namespace ggufd::store
