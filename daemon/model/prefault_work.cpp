#include "model/prefault_work.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <span>
#include <utility>

#include "model/memory_region.h"
#include "store/file.h"

namespace ggufd::model {
namespace {

using Clock = std::chrono::steady_clock;

// One job ends with the first of these: progress is told, others have their turn at the pool.
constexpr std::uint64_t job_bytes = std::uint64_t{64} << 20U;
constexpr auto job_time = std::chrono::milliseconds(50);
constexpr std::size_t pread_buffer_bytes = std::size_t{256} << 10U;

// Calls work(copy, mapping, offset, length) for each file's part of the range; the first error ends it.
template <class Work>
Result<void> for_each_part(const PrefaultFiles& files, Range range, Work work) {
  for (std::size_t i = 0; i < files.mappings.size() && range.length > 0; ++i) {
    const std::uint64_t size = files.mappings[i]->size_bytes();
    if (range.offset >= size) {
      range.offset -= size;
      continue;
    }
    const std::uint64_t here = std::min(range.length, size - range.offset);
    if (auto done = work(*files.copies[i], *files.mappings[i], range.offset, here); !done) return done;
    range = {.offset = 0, .length = range.length - here};
  }
  return {};
}

std::unexpected<Error> map_failed(const Error& error) {
  return fail(ErrorCode::map_failed, error.message);
}

std::unexpected<Error> became_shorter(const LocalCopy& copy) {
  return fail(
      ErrorCode::map_failed,
      fmt::format("{} has become shorter than the {} bytes that were mapped; put it back, then load the "
                  "model again",
                  copy.path, copy.size_bytes));
}

class Reader {
 public:
  Reader(const PrefaultFiles& files, PrefaultWay way, loop::CancelToken token)
      : files_(files), way_(way), token_(token) {}

  // The range's beginning, as much of it as one job may take.
  Result<std::uint64_t> read(Range range) {
    const auto deadline = Clock::now() + job_time;
    const std::uint64_t wanted = std::min(range.length, job_bytes);
    std::uint64_t done = 0;
    while (done < wanted && !token_.is_cancelled() && (done == 0 || Clock::now() < deadline)) {
      const Range step = {.offset = range.offset + done,
                          .length = std::min(prefault_step_bytes, wanted - done)};
      const auto worked = for_each_part(files_, step, [this](auto&&... part) { return read_part(part...); });
      if (!worked) return std::unexpected(worked.error());
      done += step.length;
    }
    return done;
  }

 private:
  Result<void> read_part(const LocalCopy& copy, const MemoryRegion& mapping, std::uint64_t offset,
                         std::uint64_t length) {
    if (way_ == PrefaultWay::pread) {
      if (auto done = pread(copy, offset, length); !done) return done;
      if (token_.is_cancelled()) return {};
    }
    auto populated = populate_for_reading(mapping, offset, length);
    if (!populated)
      return fail(ErrorCode::map_failed, fmt::format("{}: {}", copy.path, populated.error().message));
    return {};
  }

  Result<void> pread(const LocalCopy& copy, std::uint64_t offset, std::uint64_t length) {
    const int fd = own_descriptor(copy);
    if (!buffer_) buffer_ = std::make_unique_for_overwrite<std::byte[]>(pread_buffer_bytes);
    while (length > 0 && !token_.is_cancelled()) {
      const std::size_t wanted = std::min<std::uint64_t>(pread_buffer_bytes, length);
      const auto count = store::pread_all(fd, std::span(buffer_.get(), wanted), offset, copy.path);
      if (!count) return map_failed(count.error());
      if (*count < wanted) return became_shorter(copy);
      offset += wanted;
      length -= wanted;
    }
    return {};
  }

  // The kernel reads ahead for each open file; readers of one and the same would spoil that for each other.
  int own_descriptor(const LocalCopy& copy) {
    if (opened_ != &copy) {
      auto reopened = store::reopen_read_only(copy.fd(), copy.path);
      fd_ = reopened ? std::move(*reopened) : store::UniqueFd();
      opened_ = &copy;
    }
    return fd_ ? fd_.get() : copy.fd();
  }

  const PrefaultFiles& files_;
  const PrefaultWay way_;
  const loop::CancelToken token_;
  std::unique_ptr<std::byte[]> buffer_;
  const LocalCopy* opened_ = nullptr;
  store::UniqueFd fd_;
};

}  // namespace

Result<std::uint64_t> read_range(const PrefaultFiles& files, PrefaultWay way, Range range,
                                 loop::CancelToken token) {
  return Reader(files, way, token).read(range);
}

Result<std::uint64_t> resident_bytes(const PrefaultFiles& files, Range range) {
  std::uint64_t sum = 0;
  const auto asked = for_each_part(files, range,
                                   [&sum](const LocalCopy&, const MemoryRegion& mapping, std::uint64_t offset,
                                          std::uint64_t length) -> Result<void> {
                                     const auto bytes = resident_bytes(mapping, offset, length);
                                     if (!bytes) return std::unexpected(bytes.error());
                                     sum += *bytes;
                                     return {};
                                   });
  if (!asked) return std::unexpected(asked.error());
  return sum;
}

Result<PageCount> count_pages(const PrefaultFiles& files, std::uint64_t total_bytes,
                              loop::CancelToken token) {
  PageCount result;
  for (std::uint64_t offset = 0; offset < total_bytes && !token.is_cancelled();
       offset += prefault_step_bytes) {
    const Range slice = {.offset = offset, .length = std::min(prefault_step_bytes, total_bytes - offset)};
    const auto resident = resident_bytes(files, slice);
    if (!resident) return std::unexpected(resident.error());
    result.resident_bytes += *resident;
    if (*resident < slice.length) result.missing.push_back(slice);
  }
  for (std::size_t i = 0; i < files.copies.size(); ++i) {
    const LocalCopy& copy = *files.copies[i];
    const auto now = store::stat_of(copy.fd(), copy.path);
    if (!now) return map_failed(now.error());
    if (static_cast<std::uint64_t>(now->st_size) < copy.size_bytes) return became_shorter(copy);
  }
  return result;
}

}  // namespace ggufd::model
