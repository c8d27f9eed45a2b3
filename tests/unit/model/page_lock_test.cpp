// Mappings that stay in memory, and the limit that is in their way.
#include "model/page_lock.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <optional>
#include <string>

#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;

constexpr std::uint64_t kib = 1024;

// The process's locked memory, by the kernel's account.
std::uint64_t locked_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmLck:")) return std::stoull(line.substr(6)) * kib;
  }
  return 0;
}

// RLIMIT_MEMLOCK with so many bytes, and no CAP_IPC_LOCK for this thread, for as long as it lives.
class LockLimited {
 public:
  explicit LockLimited(rlim_t bytes) {
    REQUIRE(getrlimit(RLIMIT_MEMLOCK, &before_) == 0);
    REQUIRE(bytes <= before_.rlim_max);
    const struct rlimit limited = {.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    REQUIRE(setrlimit(RLIMIT_MEMLOCK, &limited) == 0);
    REQUIRE(syscall(SYS_capget, &header_, capabilities_.data()) == 0);
    auto without = capabilities_;
    without.at(CAP_TO_INDEX(CAP_IPC_LOCK)).effective &= ~CAP_TO_MASK(CAP_IPC_LOCK);
    REQUIRE(syscall(SYS_capset, &header_, without.data()) == 0);
  }
  ~LockLimited() {
    syscall(SYS_capset, &header_, capabilities_.data());
    setrlimit(RLIMIT_MEMLOCK, &before_);
  }
  LockLimited(const LockLimited&) = delete;
  LockLimited& operator=(const LockLimited&) = delete;

 private:
  struct rlimit before_ = {};
  __user_cap_header_struct header_ = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> capabilities_{};
};

struct Files {
  explicit Files(const std::vector<std::uint64_t>& sizes) {
    for (const std::uint64_t size : sizes) {
      const std::string path = folder.file(std::to_string(mappings.size()));
      put(path, std::string(size, 'x'));
      const auto file = store::open_file(path, O_RDONLY);
      REQUIRE(file);
      auto mapped = map_file(file->get(), size, path);
      REQUIRE(mapped);
      mappings.push_back(std::make_shared<MemoryRegion>(std::move(*mapped)));
    }
  }
  TempFolder folder;
  Mappings mappings;
};

bool is_wanted() {
  return false;  // not cancelled
}

TEST_CASE("the limit is RLIMIT_MEMLOCK, unless the capability makes it void") {
  const LockLimited limited(64 * kib);
  const LockLimit limit = lock_limit();
  CHECK(limit.bytes == 64 * kib);
  CHECK_FALSE(limit.is_void);
  CHECK(limit.allows(64 * kib));
  CHECK_FALSE(limit.allows(64 * kib + 1));
  CHECK(LockLimit{.bytes = 1, .is_void = true}.allows(2));
  CHECK(LockLimit{}.allows(~std::uint64_t{0}));
}

TEST_CASE("all mappings are locked, until they are unmapped") {
  const std::uint64_t before = locked_bytes();
  {
    const Files files({8 * kib, 20 * kib});
    REQUIRE(lock_mappings(files.mappings, is_wanted));
    CHECK(locked_bytes() == before + 28 * kib);
  }
  CHECK(locked_bytes() == before);
}

TEST_CASE("where the limit is too small nothing stays locked, and the sentence names need and limit") {
  const std::uint64_t before = locked_bytes();
  const Files files({32 * kib, 64 * kib});
  const LockLimited limited(64 * kib);
  const auto locked = lock_mappings(files.mappings, is_wanted);
  REQUIRE_FALSE(locked);
  CHECK(locked.error().code == ErrorCode::out_of_memory_budget);
  CHECK(locked.error().message.find(std::to_string(96 * kib)) != std::string::npos);
  CHECK(locked.error().message.find(std::to_string(64 * kib)) != std::string::npos);
  CHECK(locked.error().message.find("RLIMIT_MEMLOCK") != std::string::npos);
  CHECK(locked_bytes() == before);
}

TEST_CASE("a limit of nothing is refused in the same words") {
  const Files files({4 * kib});
  const LockLimited limited(0);
  const auto locked = lock_mappings(files.mappings, is_wanted);
  REQUIRE_FALSE(locked);
  CHECK(locked.error().code == ErrorCode::out_of_memory_budget);
  CHECK(locked.error().message.find("RLIMIT_MEMLOCK allows 0") != std::string::npos);
}

TEST_CASE("cancelling unlocks what was locked") {
  const std::uint64_t before = locked_bytes();
  const Files files({4 * kib, 4 * kib});
  int asked = 0;
  const auto locked = lock_mappings(files.mappings, [&asked] { return ++asked > 1; });
  REQUIRE_FALSE(locked);
  CHECK(locked.error().code == ErrorCode::cancelled);
  CHECK(locked_bytes() == before);
}

TEST_CASE("locking runs on the pool") {
  const Files files({12 * kib});
  const std::uint64_t before = locked_bytes();
  loop::Loop loop;
  std::optional<Result<void>> end;
  const auto operation =
      lock_pages(loop, files.mappings, [&end](Result<void> result) { end = std::move(result); });
  CHECK_FALSE(end);
  REQUIRE(run_until(loop, [&end] { return end.has_value(); }));
  CHECK(end->has_value());
  CHECK(locked_bytes() == before + 12 * kib);
}

}  // namespace
}  // namespace ggufd::model
