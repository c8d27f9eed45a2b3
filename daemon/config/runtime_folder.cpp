// prepare_runtime_folder: the part of config/places.h that touches the file system.
//
// The default, /tmp/ggufd-<uid>, lies where everybody may write, so somebody else may have been there first.
// The folder is looked at through one descriptor that follows no symbolic link; once it is known to be ours
// and not writable by others, nobody but us and root can put anything into it, and in a folder with the
// sticky bit (/tmp) nobody can replace it.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "config/places.h"

namespace ggufd::config {

namespace {

constexpr mode_t private_mode = S_IRWXU;

using Outcome = std::expected<void, FolderError>;

Outcome unsafe(std::string message) {
  return std::unexpected(FolderError{.is_unsafe = true, .message = std::move(message)});
}

Outcome system_failure(std::string_view what, const std::string& path, int error_number) {
  return std::unexpected(FolderError{
      .is_unsafe = false, .message = system_error(fmt::format("{} {}", what, path), error_number).message});
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

Outcome make_folder(const std::string& path) {
  if (mkdir(path.c_str(), private_mode) == 0 || errno == EEXIST) return {};
  if (errno != ENOENT) return system_failure("making the runtime folder", path, errno);
  const std::string parent = std::filesystem::path(path).parent_path().string();
  if (parent.empty() || parent == path) return system_failure("making the runtime folder", path, ENOENT);
  if (auto made = make_folder(parent); !made) return made;
  if (mkdir(path.c_str(), private_mode) == 0 || errno == EEXIST) return {};
  return system_failure("making the runtime folder", path, errno);
}

Outcome explain_failed_open(const std::string& path, int error_number) {
  struct stat status{};
  if (lstat(path.c_str(), &status) != 0)
    return system_failure("opening the runtime folder", path, error_number);
  if (S_ISLNK(status.st_mode)) {
    return unsafe(fmt::format(
        "the runtime folder {} is a symbolic link, which somebody could point elsewhere; remove it, "
        "or name the folder itself with --runtime-dir",
        path));
  }
  if (!S_ISDIR(status.st_mode)) {
    return unsafe(fmt::format(
        "the runtime folder {} is not a folder; remove it, or choose another with --runtime-dir", path));
  }
  return system_failure("opening the runtime folder", path, error_number);
}

Outcome check_owner_and_mode(const struct stat& status, const std::string& path, uid_t uid) {
  if (status.st_uid != uid) {
    return unsafe(
        fmt::format("the runtime folder {} belongs to user {}, not to user {} who runs this; remove it, or "
                    "choose another with --runtime-dir",
                    path, status.st_uid, uid));
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return unsafe(fmt::format(
        "the runtime folder {} may be written by others (mode {:04o}); run chmod 0700 {}, or choose "
        "another with --runtime-dir",
        path, status.st_mode & 07777, path));
  }
  return {};
}

// Whether nothing but us uses the folder. One that serves something else as well (somebody names /run) must
// keep the mode that the rest of the system relies on. A socket that a service manager has bound for us may
// be there before we are.
bool is_ours_alone(const std::string& path) {
  struct stat lock{};
  if (lstat((path + "/ggufd.lock").c_str(), &lock) == 0) return true;
  std::error_code failure;
  std::filesystem::directory_iterator entry(path, failure);
  for (; !failure && entry != std::filesystem::directory_iterator(); entry.increment(failure)) {
    if (entry->path().filename() != "admin.sock") return false;
  }
  return !failure;
}

}  // namespace

std::expected<void, FolderError> prepare_runtime_folder(const std::string& path, uid_t uid,
                                                        FolderAccess access) {
  const mode_t mode = access == FolderAccess::owner ? private_mode : private_mode | S_IXGRP | S_IXOTH;
  // A slash at the end would have the kernel follow a symbolic link.
  std::string folder = path;
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();

  if (auto made = make_folder(folder); !made) return made;
  // O_PATH: a folder of somebody else's can be looked at without the right to read it.
  const Descriptor descriptor(open(folder.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (descriptor.get() < 0) return explain_failed_open(folder, errno);
  struct stat status{};
  if (fstat(descriptor.get(), &status) != 0)
    return system_failure("looking at the runtime folder", folder, errno);
  if (auto checked = check_owner_and_mode(status, folder, uid); !checked) return checked;
  if ((status.st_mode & 07777) == mode || !is_ours_alone(folder)) return {};
  // fchmod() takes no O_PATH descriptor; its name under /proc does, and leads to the very folder that was
  // looked at.
  const std::string same = fmt::format("/proc/self/fd/{}", descriptor.get());
  if (chmod(same.c_str(), mode) != 0)
    return system_failure("setting the mode of the runtime folder", folder, errno);
  return {};
}

}  // namespace ggufd::config
