#include "model/page_lock.h"

#include <fmt/core.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <utility>

#include "loop/offload.h"

namespace ggufd::model {
namespace {

// Between two looks at whether it is still wanted.
constexpr std::uint64_t slice_bytes = std::uint64_t{16} << 20U;

// capget(2): the version that holds 64 capabilities in two parts.
bool has_capability(unsigned number) {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return false;
  return (data.at(number / 32).effective >> (number % 32) & 1U) != 0;
}

Error refused(std::uint64_t needed_bytes, const LockLimit& limit, int error_number) {
  // A mapping whose file lies behind its end, or cannot be read, is ENOMEM too (mlock(2)): what the limit
  // allows was refused for another reason.
  if (limit.bytes && !limit.allows(needed_bytes)) {
    return {
        ErrorCode::out_of_memory_budget,
        fmt::format("locking the model in memory needs {} bytes, and RLIMIT_MEMLOCK allows {}; raise it with "
                    "LimitMEMLOCK= of the systemd unit or ulimit -l, or set mlock to false",
                    needed_bytes, *limit.bytes)};
  }
  return system_error(
      fmt::format("locking the model's {} bytes in memory; set mlock to false, or make sure that so "
                  "much may be locked beside what this process has locked already",
                  needed_bytes),
      error_number, ErrorCode::out_of_memory_budget);
}

// The bare call: sanitizers replace the library's by one that does nothing.
bool lock_now(std::span<std::byte> slice) {
  return syscall(SYS_mlock, slice.data(), slice.size()) == 0;
}

void unlock_all(const Mappings& mappings) {
  for (const auto& mapping : mappings) syscall(SYS_munlock, mapping->bytes().data(), mapping->size_bytes());
}

Result<void> lock_one(const MemoryRegion& mapping, std::uint64_t needed_bytes,
                      const std::function<bool()>& is_cancelled) {
  for (std::uint64_t offset = 0; offset < mapping.size_bytes(); offset += slice_bytes) {
    if (is_cancelled()) return fail(ErrorCode::cancelled, "locking the model in memory was cancelled");
    const auto slice = mapping.bytes().subspan(offset, std::min(slice_bytes, mapping.size_bytes() - offset));
    if (!lock_now(slice)) return std::unexpected(refused(needed_bytes, lock_limit(), errno));
    if (mapping.has_failed())
      return fail(ErrorCode::map_failed, "a model's file could not be read while it was locked in memory");
  }
  return {};
}

}  // namespace

LockLimit lock_limit() {
  LockLimit limit{.bytes = {}, .is_void = has_capability(CAP_IPC_LOCK)};
  struct rlimit values = {};
  if (getrlimit(RLIMIT_MEMLOCK, &values) == 0 && values.rlim_cur != RLIM_INFINITY)
    limit.bytes = values.rlim_cur;
  return limit;
}

Result<void> lock_mappings(const Mappings& mappings, const std::function<bool()>& is_cancelled) {
  const std::uint64_t needed_bytes = total_bytes(mappings);
  for (const auto& mapping : mappings) {
    if (auto locked = lock_one(*mapping, needed_bytes, is_cancelled); !locked) {
      unlock_all(mappings);
      return locked;
    }
  }
  return {};
}

loop::OperationPtr lock_pages(loop::Loop& loop, Mappings mappings,
                              std::move_only_function<void(Result<void>)> on_done) {
  return loop::offload<void>(
      loop,
      [mappings = std::move(mappings)](loop::CancelToken token) mutable {
        auto locked = lock_mappings(mappings, [token] { return token.is_cancelled(); });
        mappings.clear();  // the last holder unmaps, here rather than on the loop
        return locked;
      },
      std::move(on_done));
}

}  // namespace ggufd::model
