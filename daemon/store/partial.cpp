#include "store/partial.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>

namespace ggufd::store {
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
