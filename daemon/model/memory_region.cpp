#include "model/memory_region.h"

#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace ggufd::model {
namespace {

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

// madvise for whole pages around the slice; the errno, 0 for success.
[[maybe_unused]] int advise(std::span<std::byte> slice, int advice) {
  const auto address = reinterpret_cast<std::uintptr_t>(slice.data());
  const std::uintptr_t begin = address - address % page_bytes();
  const std::size_t length = slice.size() + (address - begin);
  while (madvise(reinterpret_cast<void*>(begin), length, advice) != 0) {
    if (errno != EINTR && errno != EAGAIN) return errno;
  }
  return 0;
}

void touch_for_reading(std::span<std::byte> slice) {
  for (std::size_t i = 0; i < slice.size(); i += page_bytes()) {
    [[maybe_unused]] const std::byte read = *static_cast<const volatile std::byte*>(&slice[i]);
  }
}

void touch_for_writing(std::span<std::byte> slice) {
  for (std::size_t i = 0; i < slice.size(); i += page_bytes()) {
    *static_cast<volatile std::byte*>(&slice[i]) = std::byte{0};
  }
}

}  // namespace

MemoryRegion::~MemoryRegion() {
  if (begin_ != nullptr) munmap(begin_, size_);
}

Result<MemoryRegion> map_file(int fd, std::uint64_t size_bytes, const std::string& path) {
  void* begin = mmap(nullptr, size_bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (begin == MAP_FAILED) {
    return std::unexpected(
        system_error(fmt::format("mapping {} ({} bytes)", path, size_bytes), errno, ErrorCode::map_failed));
  }
  return MemoryRegion(begin, size_bytes);
}

Result<MemoryRegion> map_anonymous(std::uint64_t size_bytes) {
  void* begin = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (begin == MAP_FAILED) {
    return std::unexpected(
        system_error(fmt::format("allocating {} bytes; a smaller n_ctx needs less", size_bytes), errno,
                     ErrorCode::out_of_memory_budget));
  }
#ifdef MADV_HUGEPAGE
  madvise(begin, size_bytes, MADV_HUGEPAGE);
#endif
  return MemoryRegion(begin, size_bytes);
}

Result<void> populate_for_reading(const MemoryRegion& region, std::uint64_t offset, std::uint64_t length) {
  const std::span<std::byte> slice = region.bytes().subspan(offset, length);
#ifdef MADV_POPULATE_READ
  const int error_number = advise(slice, MADV_POPULATE_READ);
  if (error_number == 0) return {};
  if (error_number != EINVAL) {
    return std::unexpected(
        system_error(fmt::format("reading bytes {} to {} of the model into memory", offset, offset + length),
                     error_number, ErrorCode::map_failed));
  }
#endif
  touch_for_reading(slice);
  return {};
}

Result<void> populate_for_writing(const MemoryRegion& region, std::uint64_t offset, std::uint64_t length) {
  const std::span<std::byte> slice = region.bytes().subspan(offset, length);
#ifdef MADV_POPULATE_WRITE
  const int error_number = advise(slice, MADV_POPULATE_WRITE);
  if (error_number == 0) return {};
  if (error_number != EINVAL) {
    return std::unexpected(
        system_error("allocating the KV cache's memory", error_number, ErrorCode::out_of_memory_budget));
  }
#endif
  touch_for_writing(slice);
  return {};
}

}  // namespace ggufd::model
