// Mapped memory: files, anonymous memory, and what happens where it cannot be had.
#include "model/memory_region.h"

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include <algorithm>

#include "model/page_cache.h"
#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;

struct Mapped {
  explicit Mapped(const std::string& bytes) {
    put(path, bytes);
    auto opened = store::open_file(path, O_RDONLY);
    REQUIRE(opened);
    file = std::move(*opened);
    auto mapped = map_file(file.get(), bytes.size(), path);
    REQUIRE(mapped);
    region = std::move(*mapped);
  }
  TempFolder folder;
  std::string path = folder.file("m");
  store::UniqueFd file;
  MemoryRegion region;
};

TEST_CASE("a mapped file is its bytes, in slices that end anywhere") {
  const std::string bytes = ggufd::test::some_bytes(300'001);
  const Mapped mapped(bytes);
  CHECK(mapped.region.size_bytes() == bytes.size());
  for (std::uint64_t offset = 0; offset < bytes.size(); offset += 70'001) {
    CHECK(
        populate_for_reading(mapped.region, offset, std::min<std::uint64_t>(70'001, bytes.size() - offset)));
  }
  CHECK(std::ranges::equal(mapped.region.bytes(), std::as_bytes(std::span(bytes))));
}

TEST_CASE("a file that became shorter is map_failed, not a crash") {
  const Mapped mapped(std::string(1 << 20, 'x'));
  std::filesystem::resize_file(mapped.path, 4'096);
  CHECK(populate_for_reading(mapped.region, 0, 4'096));
  const auto beyond = populate_for_reading(mapped.region, 8'192, 4'096);
  REQUIRE_FALSE(beyond);
  CHECK(beyond.error().code == ErrorCode::map_failed);
  CHECK_FALSE(populate_for_reading(mapped.region, 0, 1 << 20));
}

TEST_CASE("what cannot be mapped is map_failed, and names the file") {
  const TempFolder folder;
  put(folder.file("empty"), "");
  const auto file = store::open_file(folder.file("empty"), O_RDONLY);
  REQUIRE(file);
  const auto mapped = map_file(file->get(), 0, folder.file("empty"));
  REQUIRE_FALSE(mapped);
  CHECK(mapped.error().code == ErrorCode::map_failed);
  CHECK(mapped.error().message.find(folder.file("empty")) != std::string::npos);
}

TEST_CASE("resident bytes are counted by pages, and clipped to the slice") {
  const std::uint64_t page = page_bytes();
  auto region = map_anonymous(huge_page_bytes + 5 * page + 100);
  REQUIRE(region);
  const std::uint64_t size = region->size_bytes();
  // Without huge pages, so that one touch is one page.
  REQUIRE(madvise(region->bytes().data(), size, MADV_NOHUGEPAGE) == 0);
  CHECK(resident_bytes(*region, 0, size) == 0U);
  CHECK(resident_bytes(*region, 7, 0) == 0U);
  region->bytes()[3 * page] = std::byte{1};
  CHECK(resident_bytes(*region, 0, size) == page);
  CHECK(resident_bytes(*region, 3 * page + 10, 20) == 20U);
  CHECK(resident_bytes(*region, 4 * page - 10, 20) == 10U);
  region->bytes()[size - 1] = std::byte{1};
  CHECK(resident_bytes(*region, 0, size) == page + 100);
  REQUIRE(populate_for_writing(*region, 0, size));
  CHECK(resident_bytes(*region, 0, size) == size);
  CHECK(resident_bytes(*region, 1, size - 2) == size - 2);
}

TEST_CASE("what is dropped from the page cache is not resident, until it is read again") {
  const Mapped mapped(ggufd::test::some_bytes((1 << 20) + 17));
  const std::uint64_t size = mapped.region.size_bytes();
  struct statfs system = {};
  REQUIRE(fstatfs(mapped.file.get(), &system) == 0);
  if (system.f_type == TMPFS_MAGIC) return;  // its files are nowhere else
  REQUIRE(store::sync_file(mapped.file.get(), mapped.path));
  CHECK(resident_bytes(mapped.region, 0, size) == size);
  drop_page_cache(mapped.file.get());
  CHECK(resident_bytes(mapped.region, 0, size) == 0U);
  REQUIRE(populate_for_reading(mapped.region, 0, page_bytes()));
  CHECK(resident_bytes(mapped.region, 0, page_bytes()) == page_bytes());
}

TEST_CASE("anonymous memory begins at a huge page, whatever its size") {
  for (const std::uint64_t size : {std::uint64_t{1}, std::uint64_t{4'097}, std::uint64_t{3} << 20U}) {
    const auto region = map_anonymous(size);
    REQUIRE(region);
    CHECK(region->size_bytes() == size);
    CHECK(reinterpret_cast<std::uintptr_t>(region->bytes().data()) % huge_page_bytes == 0);
  }
}

TEST_CASE("anonymous memory is zero before and after it is populated, and can be written") {
  auto region = map_anonymous((3 << 20) + 5);
  REQUIRE(region);
  CHECK(populate_for_writing(*region, 0, 1 << 20));
  CHECK(populate_for_writing(*region, (1 << 20) + 1, (2 << 20) + 4));
  CHECK(std::ranges::all_of(region->bytes(), [](std::byte byte) { return byte == std::byte{0}; }));
  region->bytes().back() = std::byte{1};
  CHECK(region->bytes()[region->size_bytes() - 1] == std::byte{1});
}

TEST_CASE("memory that the system refuses is out_of_memory_budget") {
  for (const std::uint64_t size : {std::uint64_t{1} << 62U, ~std::uint64_t{0}}) {
    const auto region = map_anonymous(size);
    REQUIRE_FALSE(region);
    CHECK(region.error().code == ErrorCode::out_of_memory_budget);
  }
}

TEST_CASE("a region has one owner") {
  auto made = map_anonymous(4'096);
  REQUIRE(made);
  MemoryRegion first = std::move(*made);
  CHECK(made->size_bytes() == 0);
  MemoryRegion second;
  second = std::move(first);
  CHECK(second.size_bytes() == 4'096);
  CHECK(first.size_bytes() == 0);
}

}  // namespace
}  // namespace ggufd::model
