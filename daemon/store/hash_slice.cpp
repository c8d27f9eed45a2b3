#include "store/hash_slice.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <span>

#include "store/file.h"

namespace ggufd::store {

Result<void> hash_slice(int fd, std::uint64_t offset, std::uint64_t length, Sha256& hasher,
                        const std::string& path) {
  constexpr std::uint64_t piece_bytes = std::uint64_t{1} << 20;
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(piece_bytes);
#ifdef POSIX_FADV_SEQUENTIAL
  posix_fadvise(fd, static_cast<off_t>(offset), static_cast<off_t>(length), POSIX_FADV_SEQUENTIAL);
#endif
  while (length > 0) {
    const std::span<std::byte> piece(buffer.get(), std::min(piece_bytes, length));
    const auto read = pread_all(fd, piece, offset, path);
    if (!read) return std::unexpected(read.error());
    if (*read < piece.size())
      return fail(ErrorCode::io, fmt::format("{} became shorter while it was hashed", path));
    hasher.update(piece);
    offset += *read;
    length -= *read;
  }
  return {};
}

}  // namespace ggufd::store
