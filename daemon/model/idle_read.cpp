#include "model/idle_read.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/ioprio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <span>

namespace ggufd::model {
namespace {

// Direct I/O wants memory and offsets aligned to the device's blocks; no disk in use has larger ones.
constexpr std::size_t block_bytes = 4096;
constexpr std::size_t buffer_bytes = std::size_t{1} << 20;

// The calling thread is served by the disk when nobody else wants it. Its CPU priority stays: a thread that
// has lowered that may not raise it again without privileges, and the pool's threads have other work to do
// afterwards.
class IdleIo {
 public:
  IdleIo() : before_(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0)) {
    if (before_ >= 0) syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
  }
  ~IdleIo() {
    if (before_ >= 0) syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, before_);
  }
  IdleIo(const IdleIo&) = delete;
  IdleIo& operator=(const IdleIo&) = delete;

 private:
  long before_;
};

}  // namespace

void IdleReader::Free::operator()(std::byte* bytes) const {
  std::free(bytes);
}

IdleReader::IdleReader(store::UniqueFd buffered, store::UniqueFd direct, std::string path, Buffer buffer)
    : buffered_(std::move(buffered)),
      direct_(std::move(direct)),
      path_(std::move(path)),
      buffer_(std::move(buffer)) {}

Result<IdleReader> IdleReader::open(int fd, std::string path) {
  Buffer buffer(static_cast<std::byte*>(std::aligned_alloc(block_bytes, buffer_bytes)));
  if (!buffer) return std::unexpected(system_error(fmt::format("taking memory to read {}", path), ENOMEM));
  auto buffered = store::reopen_read_only(fd, path);
  if (!buffered) return std::unexpected(buffered.error());
  // A file system without direct I/O says so with EINVAL, here or at the first read.
  store::UniqueFd direct(
      ::open(fmt::format("/proc/self/fd/{}", fd).c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT));
  return IdleReader(std::move(*buffered), std::move(direct), std::move(path), std::move(buffer));
}

Result<void> IdleReader::hash(std::uint64_t offset, std::uint64_t length, store::Sha256& hasher) {
  const IdleIo idle;
  while (length > 0) {
    const std::size_t wanted = std::min<std::uint64_t>(buffer_bytes, length);
    const auto count = read(offset, wanted);
    if (!count) return std::unexpected(count.error());
    if (*count < wanted) {
      return fail(ErrorCode::io, fmt::format("{} became shorter while it was hashed", path_));
    }
    hasher.update(std::span(buffer_.get(), wanted));
    offset += wanted;
    length -= wanted;
  }
  return {};
}

// At least `length` bytes where the file has them.
Result<std::size_t> IdleReader::read(std::uint64_t offset, std::size_t length) {
  if (direct_) {
    const std::size_t whole_blocks = (length + block_bytes - 1) / block_bytes * block_bytes;
    ssize_t count = -1;
    do {
      count = ::pread(direct_.get(), buffer_.get(), whole_blocks, static_cast<off_t>(offset));
    } while (count < 0 && errno == EINTR);
    if (count >= 0 && static_cast<std::size_t>(count) >= length) return static_cast<std::size_t>(count);
    if (count < 0 && errno != EINVAL)
      return std::unexpected(system_error(fmt::format("reading {}", path_), errno));
    direct_.reset();
  }
  return store::pread_all(buffered_.get(), std::span(buffer_.get(), length), offset, path_);
}

}  // namespace ggufd::model
