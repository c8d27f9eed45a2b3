#include "store/partial.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

namespace ggufd::store {
namespace {

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

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
    errno = 0;
  }
  if (errno != 0) return std::unexpected(system_error(fmt::format("listing {}", folder.path), errno));
  return names;
}

}  // namespace

std::string partial_folder_name(const Digest& key) {
  return ".partial-" + key.to_hex();
}

Result<void> Partial::remove_rest() {
  const auto names = names_in(folder_);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (name == data_name) continue;
    if (auto removed = remove_file_at(folder_.fd.get(), name, folder_.path_of(name)); !removed)
      return removed;
  }
  return {};
}

Result<void> Partial::remove_folder() {
  const std::string name = partial_folder_name(key_);
  if (::unlinkat(shard_.fd.get(), name.c_str(), AT_REMOVEDIR) < 0 && errno != ENOENT && errno != ENOTEMPTY &&
      errno != EEXIST) {
    return std::unexpected(system_error(fmt::format("removing the folder {}", folder_.path), errno));
  }
  return sync_folder(shard_.fd.get(), shard_.path);
}

Result<void> Partial::discard() && {
  Partial self = std::move(*this);
  // The journal first: one that outlives its data would vouch for bytes that are not there.
  if (auto removed = self.remove_rest(); !removed) return removed;
  if (auto removed = remove_file_at(self.folder_.fd.get(), data_name, self.data_path()); !removed)
    return removed;
  return self.remove_folder();
}

}  // namespace ggufd::store
