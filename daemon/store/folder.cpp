#include "store/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "store/stat_stamp.h"

namespace ggufd::store {
namespace {

std::unexpected<Error> not_a_folder(const std::string& path, int error_number) {
  if (error_number == ELOOP || error_number == ENOTDIR) {
    return fail(
        ErrorCode::io,
        fmt::format(
            "opening the folder {}: it is a symbolic link or no folder at all; the folders of a store "
            "must be real ones",
            path));
  }
  return std::unexpected(system_error(fmt::format("opening the folder {}", path), error_number));
}

// Goes on from `folder` to what was opened beneath it (or for the root).
Result<void> enter(Folder& folder, UniqueFd fd, std::string path) {
  const auto status = stat_of(fd.get(), path);
  if (!status) return std::unexpected(status.error());
  if (folder.distrust.empty()) folder.distrust = distrust_of(*status, path);
  folder.fd = std::move(fd);
  folder.path = std::move(path);
  return {};
}

Result<std::optional<Folder>> open_root(const std::string& root) {
  UniqueFd fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return std::nullopt;
  if (!fd) return not_a_folder(root, errno);
  Folder folder;
  if (auto entered = enter(folder, std::move(fd), root); !entered) return std::unexpected(entered.error());
  return folder;
}

// False where there is none of that name.
Result<bool> enter_part(Folder& folder, const std::string& part) {
  auto inner = open_folder_in(folder, part);
  if (!inner) return std::unexpected(inner.error());
  if (!*inner) return false;
  folder = std::move(**inner);
  return true;
}

Result<void> make_part(const Folder& folder, const std::string& part) {
  const std::string path = folder.path_of(part);
  // Not 0777: a umask of 002, common where every user has a group of his own, would make the folder writable
  // by its group, and nothing in it could ever be believed.
  if (::mkdirat(folder.fd.get(), part.c_str(), 0755) < 0) {
    if (errno == EEXIST) return {};
    return std::unexpected(system_error(fmt::format("making the folder {}", path), errno));
  }
  return sync_folder(folder.fd.get(), folder.path);
}

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

}  // namespace

Result<std::optional<Folder>> open_store_folder(const std::string& root,
                                                std::initializer_list<std::string> parts) {
  auto folder = open_root(root);
  if (!folder || !*folder) return folder;
  for (const std::string& part : parts) {
    const auto entered = enter_part(**folder, part);
    if (!entered) return std::unexpected(entered.error());
    if (!*entered) return std::nullopt;
  }
  return folder;
}

Result<Folder> make_store_folder(const std::string& root, std::initializer_list<std::string> parts) {
  if (auto made = make_dirs(root, 0755); !made) return std::unexpected(made.error());
  auto folder = open_root(root);
  if (!folder) return std::unexpected(folder.error());
  if (!*folder)
    return fail(ErrorCode::io, fmt::format("opening the store {}: it was removed meanwhile", root));
  for (const std::string& part : parts) {
    auto entered = enter_part(**folder, part);
    if (entered && !*entered) {
      if (auto made = make_part(**folder, part); !made) return std::unexpected(made.error());
      entered = enter_part(**folder, part);
    }
    if (!entered) return std::unexpected(entered.error());
    if (!*entered) {
      return fail(ErrorCode::io,
                  fmt::format("opening {}: it was removed meanwhile", (*folder)->path_of(part)));
    }
  }
  return std::move(**folder);
}

Result<std::optional<Folder>> open_folder_in(const Folder& folder, const std::string& name) {
  const std::string path = folder.path_of(name);
  UniqueFd fd(::openat(folder.fd.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd && errno == ENOENT) return std::nullopt;
  if (!fd) return not_a_folder(path, errno);
  Folder inner;
  inner.distrust = folder.distrust;
  if (auto entered = enter(inner, std::move(fd), path); !entered) return std::unexpected(entered.error());
  return inner;
}

Result<std::vector<std::string>> names_in(const Folder& folder) {
  auto fd = open_file_at(folder.fd.get(), ".", O_RDONLY | O_DIRECTORY, 0, folder.path);
  if (!fd) return std::unexpected(fd.error());
  const std::unique_ptr<DIR, CloseDir> dir(::fdopendir(fd->get()));
  if (!dir) return std::unexpected(system_error(fmt::format("listing {}", folder.path), errno));
  fd->release();  // closedir() closes it
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    if (names.size() > names_in_folder_max) {
      return fail(ErrorCode::io,
                  fmt::format("listing {}: it holds more than {} names", folder.path, names_in_folder_max));
    }
    errno = 0;
  }
  if (errno != 0) return std::unexpected(system_error(fmt::format("listing {}", folder.path), errno));
  std::ranges::sort(names);
  return names;
}

}  // namespace ggufd::store
