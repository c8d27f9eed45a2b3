#include "store/shard_links.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <set>

#include "store/folder.h"
#include "store/manifest.h"

namespace ggufd::store {
namespace {

// Leaves room, within the 255 bytes of a name, for what temporary_name() adds.
constexpr std::size_t file_name_max_bytes = 200;

bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name.size() <= file_name_max_bytes && name.front() != '.' &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

Result<void> check_names(std::string_view model, const std::vector<ShardLink>& shards) {
  if (!is_model_name(model))
    return fail(ErrorCode::bad_field, fmt::format("\"{}\" is no model name and can't have links", model));
  if (shards.empty()) return fail(ErrorCode::bad_field, fmt::format("linking {}: it has no files", model));
  std::set<std::string_view> names;
  for (const ShardLink& shard : shards) {
    if (!is_plain_file_name(shard.file_name))
      return fail(ErrorCode::bad_field,
                  fmt::format("linking {}: \"{}\" is no file name", model, shard.file_name));
    if (!names.insert(shard.file_name).second)
      return fail(ErrorCode::bad_field,
                  fmt::format("linking {}: two files are called {}", model, shard.file_name));
  }
  return {};
}

std::string target_of(const Digest& digest) {
  const std::string hex = digest.to_hex();
  return fmt::format("../../blobs/sha256/{}/{}/data", hex.substr(0, 2), hex);
}

bool is_link_to(const Folder& folder, const std::string& name, const std::string& target) {
  std::array<char, PATH_MAX> text{};
  const ssize_t length = ::readlinkat(folder.fd.get(), name.c_str(), text.data(), text.size());
  return length >= 0 && std::string_view(text.data(), static_cast<std::size_t>(length)) == target;
}

// The new link is made under a temporary name and renamed over the old one: at every moment the name leads to
// the one blob or the other.
Result<void> put_link(const Folder& folder, const std::string& name, const std::string& target) {
  const auto temporary = temporary_name(name);
  if (!temporary) return std::unexpected(temporary.error());
  const int fd = folder.fd.get();
  const std::string path = folder.path_of(name);
  if (::symlinkat(target.c_str(), fd, temporary->c_str()) < 0)
    return std::unexpected(system_error(fmt::format("making the link {}", path), errno));
  if (::renameat(fd, temporary->c_str(), fd, name.c_str()) < 0) {
    const int error_number = errno;
    static_cast<void>(remove_file_at(fd, *temporary, folder.path_of(*temporary)));
    return std::unexpected(system_error(fmt::format("making the link {}", path), error_number));
  }
  return {};
}

Result<void> remove_others(const Folder& folder, const std::vector<ShardLink>& shards) {
  const auto names = names_in(folder);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (std::ranges::find(shards, name, &ShardLink::file_name) != shards.end()) continue;
    if (auto removed = remove_file_at(folder.fd.get(), name, folder.path_of(name)); !removed) return removed;
  }
  return {};
}

}  // namespace

Result<std::string> link_shards(const BlobStore& store, std::string_view model,
                                const std::vector<ShardLink>& shards) {
  if (auto checked = check_names(model, shards); !checked) return std::unexpected(checked.error());
  const auto folder = make_store_folder(store.root(), {"links", std::string(model)});
  if (!folder) return std::unexpected(folder.error());
  for (const ShardLink& shard : shards) {
    const std::string target = target_of(shard.digest);
    if (is_link_to(*folder, shard.file_name, target)) continue;
    if (auto put = put_link(*folder, shard.file_name, target); !put) return std::unexpected(put.error());
  }
  if (auto removed = remove_others(*folder, shards); !removed) return std::unexpected(removed.error());
  if (auto synced = sync_folder(folder->fd.get(), folder->path); !synced)
    return std::unexpected(synced.error());
  return folder->path_of(shards.front().file_name);
}

}  // namespace ggufd::store
