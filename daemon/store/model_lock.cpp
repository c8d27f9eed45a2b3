#include "store/model_lock.h"

#include <fcntl.h>
#include <fmt/core.h>

#include "store/folder.h"
#include "store/manifest.h"

namespace ggufd::store {

Result<std::optional<ModelLock>> ModelLock::try_lock(const std::string& store_root, std::string_view name) {
  if (!is_model_name(name)) {
    return fail(ErrorCode::bad_field, fmt::format("\"{}\" is no model name and can't be locked", name));
  }
  const auto folder = make_store_folder(store_root, {"locks"});
  if (!folder) return std::unexpected(folder.error());
  const std::string file_name = fmt::format("{}.lock", name);
  const std::string path = folder->path_of(file_name);
  auto file = open_regular_at(folder->fd.get(), file_name, O_RDWR | O_CREAT, 0600, path);
  if (!file) return std::unexpected(file.error());
  if (!*file) return fail(ErrorCode::io, fmt::format("making {}: the folder was removed meanwhile", path));
  const auto locked = store::try_lock((*file)->get(), path);
  if (!locked) return std::unexpected(locked.error());
  if (!*locked) return std::nullopt;
  return ModelLock(std::move(**file));
}

}  // namespace ggufd::store
