// Memory that is mapped by hand: a model's file, a KV cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "protocol/error.h"

namespace ggufd::model {

// Owns a mapping and unmaps it. Unmapping gigabytes takes the kernel a while: let the pool destroy a large
// one.
class MemoryRegion {
 public:
  MemoryRegion() = default;
  MemoryRegion(void* begin, std::size_t size) : begin_(begin), size_(size) {}
  MemoryRegion(MemoryRegion&& other) noexcept
      : begin_(std::exchange(other.begin_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MemoryRegion& operator=(MemoryRegion&& other) noexcept {
    std::swap(begin_, other.begin_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~MemoryRegion();

  std::span<std::byte> bytes() const { return {static_cast<std::byte*>(begin_), size_}; }
  std::uint64_t size_bytes() const { return size_; }

 private:
  void* begin_ = nullptr;
  std::size_t size_ = 0;
};

// The file behind `fd`, read-only and shared with the page cache; nothing is read yet. `path` is for the
// error. `map_failed` where the system refuses.
Result<MemoryRegion> map_file(int fd, std::uint64_t size_bytes, const std::string& path);

// Anonymous memory, all zero, in huge pages where the system has them; nothing is allocated yet.
// `out_of_memory_budget` where the system refuses.
Result<MemoryRegion> map_anonymous(std::uint64_t size_bytes);

// Brings a slice of a region into memory, for reading or for writing. Blocks: call it on the pool, slice by
// slice. MADV_POPULATE_READ and _WRITE report what a touch would die of (Linux 5.14, madvise(2)); older
// kernels are touched page by page. `map_failed` where the file cannot be read, `out_of_memory_budget` where
// there is no memory.
Result<void> populate_for_reading(const MemoryRegion& region, std::uint64_t offset, std::uint64_t length);
Result<void> populate_for_writing(const MemoryRegion& region, std::uint64_t offset, std::uint64_t length);

}  // namespace ggufd::model
