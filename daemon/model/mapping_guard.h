// A mapped file that cannot be read where it is touched (it was truncated, the disk fails) raises SIGBUS.
// Here that becomes a mark on the mapping: the rest of it reads as zeros from then on, and whoever has read
// finds out afterwards by has_failed(). The daemon and every other mapping live on.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <utility>

#include "loop/loop.h"
#include "protocol/error.h"

namespace ggufd::model {

// As many mappings are guarded at once; a model takes one a file.
inline constexpr std::size_t max_guarded_mappings = 1024;

// Handles SIGBUS for the whole process from now on; the first call does it. Without it a fault ends the
// process, as it does where the address lies in no guarded mapping: that one goes to the handler which was
// there before, by default death with a core dump. (Sanitizers have a handler of their own; it is the one
// before, and keeps all that is not ours. Their option handle_sigbus=2 would keep this one out.)
void install_mapping_guard();

// Guards [begin, begin + size_bytes) for as long as it lives; destroyed before the memory is unmapped, and
// when nobody reads it any more. Moves with its owner.
class MappingGuard {
 public:
  MappingGuard() = default;  // guards nothing
  MappingGuard(MappingGuard&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
  MappingGuard& operator=(MappingGuard&& other) noexcept {
    std::swap(slot_, other.slot_);
    return *this;
  }
  ~MappingGuard();

  // `begin` is the start of a page. `map_failed` where max_guarded_mappings are guarded already; `path` is
  // for that sentence.
  static Result<MappingGuard> guard(const void* begin, std::size_t size_bytes, const std::string& path);

  // Whether some of it could not be read. From any thread; sees every fault of reads that the calling thread
  // has done, or heard of, before.
  bool has_failed() const;

  struct Slot;

 private:
  explicit MappingGuard(Slot* slot) : slot_(slot) {}

  Slot* slot_ = nullptr;
};

// Calls on_fault on the loop soon after a guarded mapping has failed, on whatever thread; which one is to be
// asked of the mappings. Several faults may be one call. One object at a time in a process; it does not keep
// the loop running. on_fault may destroy it.
class MappingFaults {
 public:
  MappingFaults(loop::Loop& loop, std::function<void()> on_fault);
  ~MappingFaults();
  MappingFaults(const MappingFaults&) = delete;
  MappingFaults& operator=(const MappingFaults&) = delete;

 private:
  std::function<void()> on_fault_;
  loop::HandlePtr<uv_async_t> async_;
};

}  // namespace ggufd::model
