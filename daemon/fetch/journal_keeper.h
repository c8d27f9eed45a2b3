// Keeps a partial's journal behind its data, never ahead of it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "fetch/byte_ranges.h"
#include "fetch/journal.h"
#include "loop/loop.h"
#include "loop/operation.h"
#include "loop/timer.h"
#include "store/partial.h"

namespace ggufd::fetch {

class JournalKeeper {
 public:
  // How old an unsaved byte gets; what another process sees of the progress is so old, too.
  static constexpr std::uint64_t save_interval_ms = 1000;
  // How often the data is synced, so that a power cut costs no more than that.
  static constexpr std::uint64_t sync_interval_ms = 5000;

  // `on_saved` with each save that has ended; a save that fails ends the download, for nothing more would be
  // safe.
  JournalKeeper(loop::Loop& loop, std::shared_ptr<store::Partial> partial, ByteRanges saved,
                std::function<void(Result<void>)> on_saved);
  // Has what is written and not saved saved on the pool, unless stop() was called; the partial's lock is held
  // until then.
  ~JournalKeeper();
  JournalKeeper(const JournalKeeper&) = delete;
  JournalKeeper& operator=(const JournalKeeper&) = delete;

  // From now on the journal is kept, as that of this object: `head` without `finished`, with what is
  // synced already. A save is made once
  // `batch_bytes` are unsaved.
  void begin(Journal head, std::uint64_t batch_bytes);
  // `ranges` are in the file.
  void written(const ByteRanges& ranges);
  // A save as soon as there is anything unsaved.
  void save_soon();
  // Nothing is saved any more. True where none is under way; else on_saved comes.
  bool stop();

  bool is_keeping() const { return head_.has_value(); }
  std::uint64_t saved_bytes() const { return saved_bytes_; }

 private:
  Journal journal_now() const;
  void tick();
  void save();
  void sync();

  loop::Loop& loop_;
  std::shared_ptr<store::Partial> partial_;
  std::function<void(Result<void>)> on_saved_;
  loop::Timer timer_;
  std::optional<Journal> head_;
  std::uint64_t batch_bytes_ = 0;
  ByteRanges written_;
  std::uint64_t written_bytes_ = 0;
  std::uint64_t saved_bytes_ = 0;
  bool is_save_wanted_ = false;
  loop::OperationPtr saving_;
  std::vector<JournalRange> synced_;
  bool has_synced_ = false;  // since the last save
  std::uint64_t synced_bytes_ = 0;
  std::uint64_t next_sync_ms_ = 0;
  loop::OperationPtr syncing_;
};

}  // namespace ggufd::fetch
