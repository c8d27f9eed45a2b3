#include "store/removal.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "store/blob_store.h"
#include "store/model_lock.h"

namespace ggufd::store {
namespace {

std::unexpected<Error> in_use(const std::string& path) {
  return fail(ErrorCode::busy, fmt::format("{} is in use", path));
}

Result<std::optional<Folder>> open_blob_folder(const BlobStore& store, const Digest& digest) {
  const std::string hex = digest.to_hex();
  return open_store_folder(store.root(), {"blobs", "sha256", hex.substr(0, 2), hex});
}

// A blob that nobody else can begin to use: find() passes over it while this lives.
struct LockedBlob {
  Folder folder;
  UniqueFd data;
};

// Nothing where there is no such blob; `busy` where somebody uses it.
Result<std::optional<LockedBlob>> lock_blob(const BlobStore& store, const Digest& digest) {
  auto folder = open_blob_folder(store, digest);
  if (!folder) return std::unexpected(folder.error());
  if (!*folder) return std::nullopt;
  const std::string path = (*folder)->path_of(blob_data_name);
  auto data = open_regular_at((*folder)->fd.get(), blob_data_name, O_RDONLY, 0, path);
  if (!data) return std::unexpected(data.error());
  if (!*data) return std::nullopt;
  const auto locked = try_lock((*data)->get(), path);
  if (!locked) return std::unexpected(locked.error());
  if (!*locked) return in_use(path);
  return LockedBlob{.folder = std::move(**folder), .data = std::move(**data)};
}

Result<bool> is_named(const BlobStore& store, const Digest& digest, std::string_view except_model) {
  const auto names = manifest_names(store);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (name == except_model) continue;
    const auto manifest = read_manifest(store.root(), name);
    if (!manifest) return std::unexpected(manifest.error());
    if (!*manifest) continue;
    const auto blobs = blobs_of(**manifest);
    if (std::ranges::find(blobs, digest) != blobs.end()) return true;
  }
  return false;
}

Result<void> check_unnamed(const BlobStore& store, const Digest& digest, std::string_view except_model) {
  const auto named = is_named(store, digest, except_model);
  if (!named) return std::unexpected(named.error());
  if (*named)
    return fail(ErrorCode::busy, fmt::format("{} is needed by a model by now", store.blob_path(digest)));
  return {};
}

// The name that the locked file still has, changed to one that nobody looks for. Where a commit has put
// another file in its place in this moment, that one gets its name back.
Result<void> take_name(const LockedBlob& blob) {
  const int folder_fd = blob.folder.fd.get();
  const std::string path = blob.folder.path_of(blob_data_name);
  const auto aside = temporary_name(blob_data_name);
  if (!aside) return std::unexpected(aside.error());
  const auto ours = stat_of(blob.data.get(), path);
  if (!ours) return std::unexpected(ours.error());
  if (::renameat(folder_fd, blob_data_name.c_str(), folder_fd, aside->c_str()) < 0)
    return std::unexpected(system_error(fmt::format("removing {}", path), errno));
  struct stat taken{};
  const bool is_ours = ::fstatat(folder_fd, aside->c_str(), &taken, AT_SYMLINK_NOFOLLOW) == 0 &&
                       taken.st_ino == ours->st_ino && taken.st_dev == ours->st_dev;
  if (!is_ours) {
    const auto moved = move_no_replace(folder_fd, *aside, folder_fd, blob_data_name, path);
    if (!moved) return std::unexpected(moved.error());
    return in_use(path);
  }
  return remove_file_at(folder_fd, *aside, path);
}

// The stamp goes first: what a crash leaves is hashed before it is used again.
Result<void> remove_blob(const LockedBlob& blob) {
  const int folder_fd = blob.folder.fd.get();
  if (auto removed = remove_file_at(folder_fd, blob_record_name, blob.folder.path_of(blob_record_name));
      !removed)
    return removed;
  if (auto taken = take_name(blob); !taken) return taken;
  if (auto synced = sync_folder(folder_fd, blob.folder.path); !synced) return synced;
  // Where it is not empty somebody else has begun to use it, or keeps something there.
  ::rmdir(blob.folder.path.c_str());
  return {};
}

// The folder and the files and links that are directly in it, but for a blob's data: a commit may have put it
// there a moment ago, and then the folder stays. None there is success.
Result<void> remove_folder(Result<std::optional<Folder>> folder) {
  if (!folder) return std::unexpected(folder.error());
  if (!*folder) return {};
  const auto names = names_in(**folder);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (name == blob_data_name) return in_use((*folder)->path);
    if (auto removed = remove_file_at((*folder)->fd.get(), name, (*folder)->path_of(name)); !removed)
      return removed;
  }
  if (::rmdir((*folder)->path.c_str()) < 0 && errno != ENOENT)
    return std::unexpected(system_error(fmt::format("removing the folder {}", (*folder)->path), errno));
  return {};
}

Result<void> remove_links(const BlobStore& store, const std::string& model) {
  return remove_folder(open_store_folder(store.root(), {"links", model}));
}

Result<void> remove_manifest(const BlobStore& store, const std::string& model) {
  const auto folder = open_store_folder(store.root(), {"manifests"});
  if (!folder) return std::unexpected(folder.error());
  if (!*folder) return {};
  const std::string name = model + ".json";
  if (auto removed = remove_file_at((*folder)->fd.get(), name, (*folder)->path_of(name)); !removed)
    return removed;
  return sync_folder((*folder)->fd.get(), (*folder)->path);
}

Result<void> remove_garbage_blob(const BlobStore& store, const Digest& digest) {
  const auto blob = lock_blob(store, digest);
  if (!blob) return std::unexpected(blob.error());
  if (!*blob) return {};
  if (auto unnamed = check_unnamed(store, digest, ""); !unnamed) return unnamed;
  return remove_blob(**blob);
}

Result<void> remove_partial(const BlobStore& store, const Digest& key) {
  auto partial = store.open_partial(key);
  if (!partial) return std::unexpected(partial.error());
  return std::move(*partial).discard();
}

Result<void> remove_garbage_links(const BlobStore& store, const std::string& model) {
  const auto lock = ModelLock::try_lock(store.root(), model);
  if (!lock) return std::unexpected(lock.error());
  if (!*lock) return in_use(store.root() + "/links/" + model);
  const auto manifest = read_manifest(store.root(), model);
  if (!manifest) return std::unexpected(manifest.error());
  if (*manifest) return in_use(store.root() + "/links/" + model);
  return remove_links(store, model);
}

// A file of the store, reached from its root part by part so that no link leads out of it.
Result<void> remove_by_path(const BlobStore& store, const std::string& path) {
  std::string_view rest = path;
  if (!rest.starts_with(store.root()))
    return fail(ErrorCode::internal, fmt::format("{} is not in the store", path));
  rest.remove_prefix(store.root().size());
  auto folder = open_store_folder(store.root(), {});
  for (;;) {
    rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
    if (!folder) return std::unexpected(folder.error());
    if (!*folder) return {};
    const std::size_t slash = rest.find('/');
    if (slash == std::string_view::npos) break;
    folder = open_folder_in(**folder, std::string(rest.substr(0, slash)));
    rest.remove_prefix(slash);
  }
  const std::string name(rest);
  struct stat status{};
  if (::fstatat((*folder)->fd.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0) return {};
  if (S_ISDIR(status.st_mode)) return remove_folder(open_folder_in(**folder, name));
  return remove_file_at((*folder)->fd.get(), name, path);
}

// The evidence goes last: what is left of an interrupted removal is still explained.
Result<void> remove_quarantined(const BlobStore& store, const std::string& bin) {
  if (auto removed = remove_by_path(store, bin); !removed) return removed;
  return remove_by_path(store, bin.substr(0, bin.rfind('.')) + ".json");
}

}  // namespace

Result<void> remove_model(const BlobStore& store, std::string_view model, const RemovalPlan& plan,
                          const std::function<void(const Removal&)>& on_removed) {
  const auto lock = ModelLock::try_lock(store.root(), model);
  if (!lock) return std::unexpected(lock.error());
  if (!*lock)
    return fail(ErrorCode::busy, fmt::format("another program is fetching or changing the model {}", model));
  std::vector<std::optional<LockedBlob>> blobs;
  for (const Removal& item : plan.items) {
    if (item.kind != RemovalKind::blob) continue;
    auto blob = lock_blob(store, item.digest);
    if (!blob) return std::unexpected(blob.error());
    blobs.push_back(std::move(*blob));
    if (auto unnamed = check_unnamed(store, item.digest, model); !unnamed) return unnamed;
  }
  // The manifest first: a crash then leaves blobs without a name, which gc finds, and not a name without
  // blobs.
  std::size_t next_blob = 0;
  for (const Removal& item : plan.items) {
    Result<void> removed;
    if (item.kind == RemovalKind::manifest) {
      removed = remove_manifest(store, item.name);
    } else if (item.kind == RemovalKind::links) {
      removed = remove_links(store, item.name);
    } else if (const auto& blob = blobs[next_blob++]) {
      removed = remove_blob(*blob);
    }
    if (!removed) return removed;
    on_removed(item);
  }
  return {};
}

Result<void> remove_garbage(const BlobStore& store, const Removal& item) {
  switch (item.kind) {
    case RemovalKind::manifest:
      return remove_manifest(store, item.name);
    case RemovalKind::links:
      return remove_garbage_links(store, item.name);
    case RemovalKind::blob:
      return remove_garbage_blob(store, item.digest);
    case RemovalKind::partial:
      return remove_partial(store, item.digest);
    case RemovalKind::leftover:
      return remove_by_path(store, item.path);
    case RemovalKind::quarantine:
      return remove_quarantined(store, item.path);
  }
  return {};
}

}  // namespace ggufd::store
