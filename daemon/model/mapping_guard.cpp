#include "model/mapping_guard.h"

#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <thread>

namespace ggufd::model {

// Written under table_mutex, read by the handler, which may run at any moment on any thread: `sequence` is
// odd while the slot changes, and another one afterwards.
struct MappingGuard::Slot {
  std::atomic<std::uint64_t> sequence = 0;
  std::atomic<std::uintptr_t> begin = 0;  // 0: free
  std::atomic<std::uintptr_t> end = 0;    // of whole pages
  std::atomic<bool> has_failed = false;
};

namespace {

using Slot = MappingGuard::Slot;
static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
                  std::atomic<uv_async_t*>::is_always_lock_free,
              "a signal handler reads them");

std::array<Slot, max_guarded_mappings> table;
std::mutex table_mutex;
std::size_t page = 4096;  // set before the handler is there
struct sigaction before;  // what is done about every other SIGBUS
std::atomic<uv_async_t*> to_wake = nullptr;
std::atomic<int> wakers = 0;  // handlers that may be using to_wake

void put(Slot& slot, std::uintptr_t begin, std::uintptr_t end) {
  slot.sequence.fetch_add(1);
  slot.begin.store(begin);
  slot.end.store(end);
  slot.has_failed.store(false);
  slot.sequence.fetch_add(1);
}

// --- In the signal handler: no locks, no memory, no library calls but those that signal-safety(7) names (and
// uv_async_send, which says so of itself).

// The mapping that is being read cannot go away meanwhile, so its slot does not change; a slot that does is
// another.
Slot* slot_of(std::uintptr_t address, std::uintptr_t& end) {
  for (Slot& slot : table) {
    const std::uint64_t sequence = slot.sequence.load();
    const std::uintptr_t begin = slot.begin.load();
    end = slot.end.load();
    const bool is_inside = begin != 0 && begin <= address && address < end;
    if (is_inside && sequence % 2 == 0 && slot.sequence.load() == sequence) return &slot;
  }
  return nullptr;
}

// False where the address is not ours, or the kernel refuses. The file's pages from there on make way for
// pages of zeros: what lies behind a file's end is no more readable than this page was.
bool contain(std::uintptr_t address) {
  std::uintptr_t end = 0;
  Slot* slot = slot_of(address, end);
  if (slot == nullptr) return false;
  slot->has_failed.store(true);
  const std::uintptr_t begin = address - address % page;
  // The bare call: a sanitizer's own mmap is not made for handlers.
  return syscall(SYS_mmap, begin, end - begin, PROT_READ,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != -1;
}

void wake_the_loop() {
  wakers.fetch_add(1);
  if (uv_async_t* async = to_wake.load()) uv_async_send(async);
  wakers.fetch_sub(1);
}

void on_sigbus(int, siginfo_t* info, void*) {
  const int error_number = errno;
  const bool is_a_fault = info->si_code > 0;  // else some process has sent it
  if (is_a_fault && contain(reinterpret_cast<std::uintptr_t>(info->si_addr))) {
    wake_the_loop();
  } else {
    // Whoever was there before gets it: the same instruction faults again, and a signal that was sent is sent
    // again.
    sigaction(SIGBUS, &before, nullptr);
    if (!is_a_fault) raise(SIGBUS);
  }
  errno = error_number;
}

}  // namespace

void install_mapping_guard() {
  [[maybe_unused]] static const bool is_installed = [] {
    page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    struct sigaction ours = {};
    ours.sa_sigaction = on_sigbus;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&ours.sa_mask);
    // First only read: a fault that comes at once finds it.
    sigaction(SIGBUS, nullptr, &before);
    return sigaction(SIGBUS, &ours, nullptr) == 0;
  }();
  assert(is_installed);
}

Result<MappingGuard> MappingGuard::guard(const void* begin, std::size_t size_bytes, const std::string& path) {
  const auto first = reinterpret_cast<std::uintptr_t>(begin);
  const auto page_size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  assert(first != 0 && first % page_size == 0);
  const std::uintptr_t end = first + (size_bytes + page_size - 1) / page_size * page_size;
  const std::lock_guard lock(table_mutex);
  for (Slot& slot : table) {
    if (slot.begin.load() != 0) continue;
    put(slot, first, end);
    return MappingGuard(&slot);
  }
  return fail(ErrorCode::map_failed,
              fmt::format("mapping {}: {} files are mapped, and there can be no more; unload another model",
                          path, max_guarded_mappings));
}

MappingGuard::~MappingGuard() {
  if (slot_ == nullptr) return;
  const std::lock_guard lock(table_mutex);
  put(*slot_, 0, 0);
}

bool MappingGuard::has_failed() const {
  if (slot_ == nullptr) return false;
  // The reads that are asked about have been done by now, for the compiler, too.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return slot_->has_failed.load();
}

MappingFaults::MappingFaults(loop::Loop& loop, std::function<void()> on_fault)
    : on_fault_(std::move(on_fault)), async_(loop::make_handle<uv_async_t>(this, [&](uv_async_t* handle) {
        return uv_async_init(loop.raw(), handle, [](uv_async_t* woken) {
          if (woken->data == nullptr) return;
          // A copy of the function: it may destroy the object while it runs.
          const std::function<void()> notify = static_cast<MappingFaults*>(woken->data)->on_fault_;
          notify();
        });
      })) {
  uv_unref(reinterpret_cast<uv_handle_t*>(async_.get()));
  [[maybe_unused]] const uv_async_t* other = to_wake.exchange(async_.get());
  assert(other == nullptr && "one at a time");
}

MappingFaults::~MappingFaults() {
  to_wake.store(nullptr);
  // A handler on another thread may have seen it still; it needs it for a moment only.
  while (wakers.load() != 0) std::this_thread::yield();
}

}  // namespace ggufd::model
