#include "store/local_stamp.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>

#include "store/blob_store.h"
#include "store/json_file.h"

namespace ggufd::store {
namespace {

Result<std::string> stamp_name(const std::string& path) {
  if (!path.starts_with('/')) {
    return fail(ErrorCode::bad_source, fmt::format("the local file \"{}\" needs an absolute path", path));
  }
  const auto digest = sha256_of(path);
  if (!digest) return std::unexpected(digest.error());
  return digest->to_hex() + ".json";
}

// Where the open file really lies: the path that it was opened by may lead over symbolic links.
Result<std::string> real_path(int fd, const std::string& path) {
  std::array<char, PATH_MAX> target{};
  const std::string link = fmt::format("/proc/self/fd/{}", fd);
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
  if (length < 0)
    return std::unexpected(system_error(fmt::format("asking {} where {} lies", link, path), errno));
  return std::string(target.data(), static_cast<std::size_t>(length));
}

// The stamp, where there is one to believe.
Result<std::optional<LocalStamp>> read_stamp(const Folder& folder, const std::string& name) {
  const std::string path = folder.path_of(name);
  const auto file = open_regular_at(folder.fd.get(), name, O_RDONLY, 0, path);
  if (!file) return std::unexpected(file.error());
  if (!*file) return std::nullopt;
  const auto status = stat_of((*file)->get(), path);
  if (!status) return std::unexpected(status.error());
  if (!distrust_of(*status, path).empty()) return std::nullopt;
  const auto text = read_all((*file)->get(), json_file_max_bytes, path);
  if (!text) return std::unexpected(text.error());
  return parse_json_file<LocalStamp>(*text, path);
}

}  // namespace

Result<BeforeHash> before_hash(int fd, const std::string& path) {
  // The clock first: a write between the two then counts as unsettled rather than unseen.
  const std::int64_t taken_at_ns = realtime_ns();
  const auto stat = stat_stamp(fd, path);
  if (!stat) return std::unexpected(stat.error());
  return BeforeHash{.stat = *stat, .taken_at_ns = taken_at_ns};
}

Result<std::string> distrust_of_local(int fd, const std::string& path) {
  const auto status = stat_of(fd, path);
  if (!status) return std::unexpected(status.error());
  if (std::string distrust = distrust_of(*status, path); !distrust.empty()) return distrust;
  const auto real = real_path(fd, path);
  if (!real) return real;
  if (status->st_nlink == 0 || !real->starts_with('/')) return fmt::format("{} has no name any more", path);
  const std::string folder = parent_of(*real);
  struct stat folder_status{};
  if (::stat(folder.c_str(), &folder_status) < 0) {
    return std::unexpected(system_error(fmt::format("reading the stat of {}", folder), errno));
  }
  return distrust_of(folder_status, folder);
}

Result<std::optional<FoundLocalStamp>> BlobStore::find_local_stamp(int fd, const std::string& path) const {
  const auto name = stamp_name(path);
  if (!name) return std::unexpected(name.error());
  const auto distrust = distrust_of_local(fd, path);
  if (!distrust) return std::unexpected(distrust.error());
  const auto folder = open_store_folder(root_, {"stamps"});
  if (!folder) return std::unexpected(folder.error());
  if (!distrust->empty() || !*folder || !(*folder)->distrust.empty()) return std::nullopt;
  const auto stamp = read_stamp(**folder, *name);
  if (!stamp || !*stamp || (*stamp)->schema_version != 1) return std::nullopt;
  const auto digest = Digest::parse((*stamp)->sha256);
  const auto now = stat_stamp(fd, path);
  if (!now) return std::unexpected(now.error());
  if (!digest || *now != (*stamp)->stat) return std::nullopt;
  return FoundLocalStamp{.digest = *digest, .verified_at = (*stamp)->verified_at};
}

Result<bool> BlobStore::write_local_stamp(int fd, const std::string& path, const Digest& digest,
                                          const BeforeHash& before) const {
  const auto name = stamp_name(path);
  if (!name) return std::unexpected(name.error());
  const auto distrust = distrust_of_local(fd, path);
  if (!distrust) return std::unexpected(distrust.error());
  const auto now = stat_stamp(fd, path);
  if (!now) return std::unexpected(now.error());
  if (!distrust->empty() || *now != before.stat || !is_settled(before.stat, before.taken_at_ns)) return false;
  const auto folder = make_store_folder(root_, {"stamps"});
  if (!folder) return std::unexpected(folder.error());
  const LocalStamp stamp{
      .path = path, .sha256 = digest.to_hex(), .stat = *now, .verified_at = Timestamp::now()};
  auto written = write_file_atomically_at(folder->fd.get(), folder->path, *name, to_json(stamp) + "\n", 0644);
  if (!written) return std::unexpected(written.error());
  return true;
}

}  // namespace ggufd::store
