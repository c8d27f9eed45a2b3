// Reading a file without getting into anybody's way: at idle I/O priority, past the page cache where that is
// possible.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "protocol/error.h"
#include "store/digest.h"
#include "store/file.h"

namespace ggufd::model {

// Feeds an open file to a hasher, a slice at a time. What the disk holds is read, not what the page cache
// remembers, and the cache is left as it was; where the file system has no direct I/O the file is read as any
// other. For one thread at a time.
class IdleReader {
 public:
  // `fd` is any descriptor of the file; it is opened once more. `io` where that fails, or a buffer cannot be
  // had.
  static Result<IdleReader> open(int fd, std::string path);

  // Hashes [offset, offset + length): offsets are multiples of 4 KiB, as is every length but that of the
  // file's last slice. The calling thread has the idle I/O class meanwhile. `io` where the file ends before
  // that. Blocks.
  Result<void> hash(std::uint64_t offset, std::uint64_t length, store::Sha256& hasher);

 private:
  struct Free {
    void operator()(std::byte* bytes) const;
  };
  using Buffer = std::unique_ptr<std::byte[], Free>;

  IdleReader(store::UniqueFd buffered, store::UniqueFd direct, std::string path, Buffer buffer);

  Result<std::size_t> read(std::uint64_t offset, std::size_t length);

  store::UniqueFd buffered_;
  store::UniqueFd direct_;  // none where there is no direct I/O
  std::string path_;
  Buffer buffer_;
};

}  // namespace ggufd::model
