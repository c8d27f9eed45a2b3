// The slow background re-hash of every blob in the store (scrub_interval_h), so that bytes that have gone bad
// are found before a model needs them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "loop/loop.h"
#include "loop/operation.h"
#include "loop/timer.h"
#include "model/blob_check.h"
#include "protocol/fields.h"
#include "store/blob_store.h"

namespace ggufd::model {

// One blob after the other, a slice at a time on the pool, at idle I/O priority, with a pause after each
// slice that leaves three quarters of a core and of the disk's time to others. The blob that was verified
// longest ago comes first, and only once that is an interval ago: the stamps say when it was, so that a
// restart begins nothing anew.
class Scrub {
 public:
  // A bad blob, already in quarantine, and the names of the models that stand for it in the store's
  // manifests.
  using OnBad = std::function<void(const BadBlob&, const std::vector<std::string>& names)>;
  using Clock = std::function<Timestamp()>;

  static constexpr std::uint64_t slice_bytes = std::uint64_t{16} << 20;
  // The pause after a slice, as a multiple of what the slice took.
  static constexpr std::uint64_t rest = 3;
  // Longest sleep: blobs that other processes have brought are noticed, and a clock that was set.
  static constexpr std::uint64_t longest_sleep_ms = 3'600'000;

  Scrub(loop::Loop& loop, store::BlobStore store, OnBad on_bad, Clock clock = Timestamp::now);
  Scrub(const Scrub&) = delete;
  Scrub& operator=(const Scrub&) = delete;

  // 0: never. What is being hashed when the interval changes is finished, unless it became 0.
  void set_interval_h(std::uint32_t hours);
  std::uint32_t interval_h() const { return interval_h_; }
  // Nothing is due.
  bool is_asleep() const { return !current_ && !operation_; }
  // Ends at once, for good; what was hashed of the current blob is lost.
  void stop();

 private:
  struct Due {
    store::Digest digest;
    Timestamp when;  // of its last full hash; 0: not known
  };
  struct Current;
  struct Outcome;

  void look();
  void looked(const std::vector<Due>& blobs);
  void begin(const store::Digest& digest);
  void next_slice();
  void hashed();
  void end(const Result<Outcome>& outcome);
  void sleep(std::uint64_t delay_ms);

  loop::Loop& loop_;
  const store::BlobStore store_;
  OnBad on_bad_;
  Clock clock_;
  std::uint32_t interval_h_ = 0;
  loop::Timer timer_;
  std::move_only_function<void()> at_timer_;
  loop::OperationPtr operation_;
  std::shared_ptr<Current> current_;  // shared with the pool while it works on it
  // When each was looked at by us: one whose stamp cannot be written is not hashed without end.
  std::map<store::Digest, Timestamp> tried_;
};

}  // namespace ggufd::model
