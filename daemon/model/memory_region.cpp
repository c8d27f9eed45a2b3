#include "model/memory_region.h"

#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <vector>

namespace ggufd::model {
namespace {

// The whole pages around a slice.
struct Pages {
  void* begin;
  std::size_t bytes;
};

Pages pages_around(std::span<std::byte> slice) {
  const std::size_t in_page = reinterpret_cast<std::uintptr_t>(slice.data()) % page_bytes();
  return {slice.data() - in_page, slice.size() + in_page};
}

// The errno, 0 for success.
[[maybe_unused]] int advise(std::span<std::byte> slice, int advice) {
  const Pages pages = pages_around(slice);
  while (madvise(pages.begin, pages.bytes, advice) != 0) {
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

std::unexpected<Error> unreadable(std::uint64_t offset, std::uint64_t length) {
  return fail(
      ErrorCode::map_failed,
      fmt::format("bytes {} to {} of a model's file cannot be read: it has become shorter, or its disk fails",
                  offset, offset + length));
}

std::unexpected<Error> refused(std::uint64_t size_bytes, int error_number) {
  return std::unexpected(
      system_error(fmt::format("allocating {} bytes; a smaller n_ctx needs less", size_bytes), error_number,
                   ErrorCode::out_of_memory_budget));
}

}  // namespace

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

MemoryRegion::~MemoryRegion() {
  guard_ = {};  // while the addresses are still ours
  if (begin_ != nullptr) munmap(begin_, size_);
}

Result<MemoryRegion> map_file(int fd, std::uint64_t size_bytes, const std::string& path) {
  void* begin = mmap(nullptr, size_bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (begin == MAP_FAILED) {
    return std::unexpected(
        system_error(fmt::format("mapping {} ({} bytes)", path, size_bytes), errno, ErrorCode::map_failed));
  }
  auto guard = MappingGuard::guard(begin, size_bytes, path);
  if (!guard) {
    munmap(begin, size_bytes);
    return std::unexpected(guard.error());
  }
  return MemoryRegion(begin, size_bytes, std::move(*guard));
}

Result<MemoryRegion> map_anonymous(std::uint64_t size_bytes) {
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max() / 2;
  if (size_bytes == 0 || size_bytes > most) return refused(size_bytes, size_bytes == 0 ? EINVAL : ENOMEM);
  // Room for a start at a huge page; what is left over on either side is given back.
  const std::uint64_t whole_pages = (size_bytes + page_bytes() - 1) / page_bytes() * page_bytes();
  const std::uint64_t room = whole_pages + huge_page_bytes;
  void* start = mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return refused(size_bytes, errno);
  const auto address = reinterpret_cast<std::uintptr_t>(start);
  const std::uint64_t head = (huge_page_bytes - address % huge_page_bytes) % huge_page_bytes;
  std::byte* begin = static_cast<std::byte*>(start) + head;
  if (head > 0) munmap(start, head);
  if (head < huge_page_bytes) munmap(begin + whole_pages, huge_page_bytes - head);
#ifdef MADV_HUGEPAGE
  madvise(begin, size_bytes, MADV_HUGEPAGE);
#endif
  return MemoryRegion(begin, size_bytes);
}

bool can_populate() {
#ifdef MADV_POPULATE_READ
  static const bool known = [] {
    const auto region = map_anonymous(page_bytes());
    return region && advise(region->bytes(), MADV_POPULATE_READ) == 0;
  }();
  return known;
#else
  return false;
#endif
}

Result<void> populate_for_reading(const MemoryRegion& region, std::uint64_t offset, std::uint64_t length) {
  const std::span<std::byte> slice = region.bytes().subspan(offset, length);
  int error_number = EINVAL;
#ifdef MADV_POPULATE_READ
  error_number = advise(slice, MADV_POPULATE_READ);
#endif
  if (error_number == EINVAL) {
    touch_for_reading(slice);
  } else if (error_number == EFAULT) {
    return unreadable(offset, length);
  } else if (error_number != 0) {
    return std::unexpected(system_error(
        fmt::format("reading bytes {} to {} of a model's file into memory", offset, offset + length),
        error_number, ErrorCode::map_failed));
  }
  if (region.has_failed()) return unreadable(offset, length);
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

Result<std::uint64_t> resident_bytes(const MemoryRegion& region, std::uint64_t offset, std::uint64_t length) {
  constexpr std::uint64_t pages_at_once = 16'384;
  std::vector<unsigned char> is_resident(pages_at_once);
  std::uint64_t sum = 0;
  while (length > 0) {
    const std::uint64_t in_page = offset % page_bytes();  // a region begins at a page
    const std::uint64_t here = std::min(length, pages_at_once * page_bytes() - in_page);
    const Pages pages = pages_around(region.bytes().subspan(offset, here));
    while (mincore(pages.begin, pages.bytes, is_resident.data()) != 0) {
      if (errno == EAGAIN || errno == EINTR) continue;
      return std::unexpected(system_error("asking which pages are in memory", errno, ErrorCode::map_failed));
    }
    for (std::uint64_t i = 0; i * page_bytes() < in_page + here; ++i) {
      if ((is_resident[i] & 1U) == 0) continue;
      const std::uint64_t begin = std::max(i * page_bytes(), in_page);
      const std::uint64_t end = std::min((i + 1) * page_bytes(), in_page + here);
      sum += end - begin;
    }
    offset += here;
    length -= here;
  }
  return sum;
}

}  // namespace ggufd::model
