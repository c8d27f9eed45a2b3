// Memory that is mapped by hand: a model's file, a KV cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "model/mapping_guard.h"
#include "protocol/error.h"

namespace ggufd::model {

// Bytes of a page of memory.
std::size_t page_bytes();

// Owns a mapping and unmaps it. Unmapping gigabytes takes the kernel a while (10 ms and more): let the pool
// destroy a large one.
class MemoryRegion {
 public:
  MemoryRegion() = default;
  MemoryRegion(void* begin, std::size_t size, MappingGuard guard = {})
      : begin_(begin), size_(size), guard_(std::move(guard)) {}
  MemoryRegion(MemoryRegion&& other) noexcept
      : begin_(std::exchange(other.begin_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        guard_(std::move(other.guard_)) {}
  MemoryRegion& operator=(MemoryRegion&& other) noexcept {
    std::swap(begin_, other.begin_);
    std::swap(size_, other.size_);
    std::swap(guard_, other.guard_);
    return *this;
  }
  ~MemoryRegion();

  std::span<std::byte> bytes() const { return {static_cast<std::byte*>(begin_), size_}; }
  std::uint64_t size_bytes() const { return size_; }
  // Of a file: some of it could not be read, and what was read there is zeros.
  bool has_failed() const { return guard_.has_failed(); }

 private:
  void* begin_ = nullptr;
  std::size_t size_ = 0;
  MappingGuard guard_;
};

// The file behind `fd`, read-only and shared with the page cache; nothing is read yet. Guarded: a page that
// cannot be read makes it has_failed() (with install_mapping_guard()). `path` is for the error. `map_failed`
// where the system refuses.
Result<MemoryRegion> map_file(int fd, std::uint64_t size_bytes, const std::string& path);

// Anonymous memory, all zero, in huge pages where the system has them; it begins at a multiple of
// huge_page_bytes. Nothing is allocated yet. `out_of_memory_budget` where the system refuses.
inline constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;
Result<MemoryRegion> map_anonymous(std::uint64_t size_bytes);

// Brings a slice of a region into memory, for reading or for writing. Blocks: call it on the pool, slice by
// slice. MADV_POPULATE_READ and _WRITE report what a touch would die of (Linux 5.14, madvise(2)); older
// kernels are touched page by page. `map_failed` where the file cannot be read, `out_of_memory_budget` where
// there is no memory.
Result<void> populate_for_reading(const MemoryRegion& region, std::uint64_t offset, std::uint64_t length);
Result<void> populate_for_writing(const MemoryRegion& region, std::uint64_t offset, std::uint64_t length);
// Whether the kernel has MADV_POPULATE_READ.
bool can_populate();

// How many bytes of a slice are in memory now, counted by pages (mincore(2)). Of a file the kernel tells it
// only to who owns or may write it, and to root; to everybody else all of it counts as resident. `map_failed`
// where the slice cannot be asked for. Blocks for a moment: some milliseconds a GiB.
Result<std::uint64_t> resident_bytes(const MemoryRegion& region, std::uint64_t offset, std::uint64_t length);

}  // namespace ggufd::model
