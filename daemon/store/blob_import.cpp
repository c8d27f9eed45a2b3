#include "store/blob_import.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

namespace ggufd::store {
namespace {

constexpr std::size_t piece_bytes = std::size_t{4} << 20U;

struct SourceFile {
  UniqueFd fd;
  std::string path;
  StatStamp stat;
};

// The header's first fields (ggml's docs/gguf.md): "GGUF", then the version as a little-endian u32.
Result<void> check_magic(int fd, const std::string& path) {
  std::array<std::byte, 8> head{};
  const auto count = pread_all(fd, head, 0, path);
  if (!count) return std::unexpected(count.error());
  constexpr std::string_view magic = "GGUF";
  const std::string_view text(reinterpret_cast<const char*>(head.data()), magic.size());
  if (*count < head.size() || text != magic)
    return fail(ErrorCode::invalid_gguf,
                fmt::format("{} is no GGUF file: it does not begin with GGUF", path));
  std::uint32_t version = 0;
  for (std::size_t i = head.size(); i-- > magic.size();)
    version = version << 8U | std::to_integer<std::uint32_t>(head[i]);
  if (version == 2 || version == 3) return {};
  if ((version & 0xFFFFU) == 0)
    return fail(ErrorCode::unsupported_gguf, fmt::format("{} is a big-endian GGUF file; convert it", path));
  return fail(ErrorCode::unsupported_gguf,
              fmt::format("{} is a GGUF file of version {}; 2 and 3 are supported", path, version));
}

Result<SourceFile> open_source(const std::string& path) {
  auto opened = open_regular(path, O_RDONLY);
  if (!opened) return fail(ErrorCode::bad_source, opened.error().message);
  if (!*opened) return fail(ErrorCode::bad_source, fmt::format("there is no file {}", path));
  SourceFile file{.fd = std::move(**opened), .path = path, .stat = {}};
  if (auto checked = check_magic(file.fd.get(), path); !checked) return std::unexpected(checked.error());
  const auto stat = stat_stamp(file.fd.get(), path);
  if (!stat) return std::unexpected(stat.error());
  file.stat = *stat;
  static_cast<void>(::posix_fadvise(file.fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL));
  return file;
}

// The blob, where nothing has to be done to believe that it is this one.
Result<std::optional<FoundBlob>> find_verified(const BlobStore& store, const std::optional<Digest>& digest) {
  if (!digest) return std::nullopt;
  auto blob = store.find(*digest);
  if (!blob || !*blob || !(*blob)->needs_hash) return blob;
  return std::nullopt;
}

// An empty partial: what an earlier import left in it is of no use, because it was hashed nowhere.
Result<Partial> open_empty(const BlobStore& store, const std::string& path) {
  const auto key = sha256_of(path);
  if (!key) return std::unexpected(key.error());
  auto partial = store.open_partial(*key);
  if (!partial) return partial;
  if (::ftruncate(partial->fd(), 0) < 0)
    return std::unexpected(system_error(fmt::format("emptying {}", partial->data_path()), errno));
  return partial;
}

bool clone(int to_fd, int from_fd) {
  int result = ::ioctl(to_fd, FICLONE, from_fd);
  while (result < 0 && errno == EINTR) result = ::ioctl(to_fd, FICLONE, from_fd);
  return result == 0;
}

// Room is taken before the first byte, so that a disk that is too small is found out now. A file system that
// cannot reserve is asked nothing.
Result<void> reserve(const Partial& partial, std::uint64_t size_bytes) {
  if (size_bytes == 0) return {};
  const auto length = static_cast<off_t>(size_bytes);
  int result = ::fallocate(partial.fd(), FALLOC_FL_KEEP_SIZE, 0, length);
  while (result < 0 && errno == EINTR) result = ::fallocate(partial.fd(), FALLOC_FL_KEEP_SIZE, 0, length);
  if (result == 0 || (errno != ENOSPC && errno != EDQUOT)) return {};
  return std::unexpected(system_error(fmt::format("reserving room for {}", partial.data_path()), errno));
}

// Hashes the source, or the clone of it, and writes what was hashed where there is no clone.
Result<Digest> copy_and_hash(const SourceFile& from, const Partial& to, bool is_clone,
                             const OnImportedBytes& on_bytes) {
  Sha256 hasher;
  std::vector<std::byte> piece(piece_bytes);
  std::uint64_t done = 0;
  while (done < from.stat.size_bytes) {
    const auto count = is_clone ? pread_all(to.fd(), piece, done, to.data_path())
                                : pread_all(from.fd.get(), piece, done, from.path);
    if (!count) return std::unexpected(count.error());
    if (*count == 0) break;
    const auto bytes = std::span(piece).first(*count);
    hasher.update(bytes);
    if (!is_clone) {
      if (auto written = pwrite_all(to.fd(), bytes, done, to.data_path()); !written)
        return std::unexpected(written.error());
    }
    done += *count;
    if (!on_bytes(done)) return fail(ErrorCode::cancelled, fmt::format("importing {} was ended", from.path));
  }
  const auto now = stat_stamp(from.fd.get(), from.path);
  if (!now) return std::unexpected(now.error());
  if (done != from.stat.size_bytes || now->size_bytes != from.stat.size_bytes ||
      now->mtime_ns != from.stat.mtime_ns)
    return fail(ErrorCode::io, fmt::format("{} changed while it was imported; try again", from.path));
  return hasher.finish();
}

}  // namespace

Result<void> check_room(const std::string& store_root, std::uint64_t need_bytes) {
  // Of a store that is to be made, the folder that it will be made in.
  std::string place = store_root;
  struct statvfs room{};
  while (::statvfs(place.c_str(), &room) < 0) {
    if (errno != ENOENT || place == "/" || place == ".")
      return std::unexpected(system_error(fmt::format("asking for the room at {}", place), errno));
    place = parent_of(place);
  }
  const auto have_bytes = static_cast<std::uint64_t>(room.f_bavail) * room.f_frsize;
  if (need_bytes <= have_bytes) return {};
  return fail(ErrorCode::disk_full,
              fmt::format("{} bytes are needed at {} and {} are free; make room, or name another store",
                          need_bytes, store_root, have_bytes));
}

Result<ImportedBlob> import_blob(const BlobStore& store, const std::string& path,
                                 const std::optional<Digest>& claimed, std::uint64_t room_bytes,
                                 const OnImportedBytes& on_bytes) {
  const auto source = open_source(path);
  if (!source) return std::unexpected(source.error());
  auto existing = find_verified(store, claimed);
  if (!existing) return std::unexpected(existing.error());
  if (*existing) return ImportedBlob{.blob = std::move(**existing), .digest = *claimed, .was_there = true};
  auto partial = open_empty(store, path);
  if (!partial) return std::unexpected(partial.error());
  const bool is_clone = clone(partial->fd(), source->fd.get());
  if (!is_clone) {
    Result<void> room = check_room(store.root(), room_bytes);
    if (room) room = reserve(*partial, source->stat.size_bytes);
    if (!room) {
      static_cast<void>(std::move(*partial).discard());
      return std::unexpected(room.error());
    }
  }
  const auto digest = copy_and_hash(*source, *partial, is_clone, on_bytes);
  if (!digest) return std::unexpected(digest.error());
  if (claimed && *digest != *claimed) {
    static_cast<void>(std::move(*partial).discard());
    return fail(ErrorCode::sha256_mismatch,
                fmt::format("{} should have the SHA-256 {} and has {}; nothing was kept", path,
                            claimed->to_hex(), digest->to_hex()));
  }
  auto before = find_verified(store, *digest);
  const bool was_there = before && before->has_value();
  auto blob = store.commit(std::move(*partial), *digest, source->stat.size_bytes, "");
  if (!blob) return std::unexpected(blob.error());
  return ImportedBlob{.blob = std::move(*blob), .digest = *digest, .was_there = was_there};
}

}  // namespace ggufd::store
