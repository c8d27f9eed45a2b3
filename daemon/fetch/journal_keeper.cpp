#include "fetch/journal_keeper.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "loop/offload.h"

namespace ggufd::fetch {

JournalKeeper::JournalKeeper(loop::Loop& loop, std::shared_ptr<store::Partial> partial, ByteRanges saved,
                             std::function<void(Result<void>)> on_saved)
    : loop_(loop),
      partial_(std::move(partial)),
      on_saved_(std::move(on_saved)),
      timer_(loop, [this] { tick(); }),
      written_(std::move(saved)),
      written_bytes_(written_.size()),
      saved_bytes_(written_bytes_) {}

JournalKeeper::~JournalKeeper() {
  if (!head_ || written_bytes_ == saved_bytes_) return;
  loop::offload_detached(loop_, [partial = partial_, journal = journal_now(), synced = synced_] {
    // Nobody is left to hear of an error; the journal that is there stays true.
    static_cast<void>(write_journal(*partial, journal, synced));
  });
}

void JournalKeeper::begin(Journal head, std::uint64_t batch_bytes) {
  synced_ = std::exchange(head.synced, std::nullopt).value_or(std::vector<JournalRange>());
  head_ = std::move(head);
  batch_bytes_ = batch_bytes;
  next_sync_ms_ = loop_.now_ms() + sync_interval_ms;
  timer_.start_repeating(save_interval_ms);
}

void JournalKeeper::written(const ByteRanges& ranges) {
  written_ = ranges;
  written_bytes_ = ranges.size();
  if (is_save_wanted_ || written_bytes_ - saved_bytes_ >= batch_bytes_) save();
}

void JournalKeeper::save_soon() {
  is_save_wanted_ = true;
  save();
}

bool JournalKeeper::stop() {
  head_.reset();
  timer_.stop();
  return saving_ == nullptr && syncing_ == nullptr;
}

Journal JournalKeeper::journal_now() const {
  Journal journal = *head_;
  journal.finished = journal_ranges(written_);
  return journal;
}

void JournalKeeper::tick() {
  save();
  sync();
}

void JournalKeeper::save() {
  if (!head_ || saving_ || (written_bytes_ == saved_bytes_ && !has_synced_)) return;
  is_save_wanted_ = false;
  const auto durability =
      std::exchange(has_synced_, false) ? store::Durability::power_cut : store::Durability::kill;
  saving_ = loop::offload<void>(
      loop_,
      [partial = partial_, journal = journal_now(), synced = synced_, durability](loop::CancelToken) {
        return write_journal(*partial, journal, synced, durability);
      },
      [this, bytes = written_bytes_](Result<void> result) {
        saving_.reset();
        if (result) saved_bytes_ = bytes;
        if (result && head_ && (is_save_wanted_ || written_bytes_ - saved_bytes_ >= batch_bytes_)) save();
        on_saved_(std::move(result));
      });
}

// What was written when the sync began is on the disk when it has ended; the next save says so.
void JournalKeeper::sync() {
  if (!head_ || syncing_ || written_bytes_ == synced_bytes_ || loop_.now_ms() < next_sync_ms_) return;
  syncing_ = loop::offload<void>(
      loop_,
      [partial = partial_](loop::CancelToken) -> Result<void> {
        if (::fdatasync(partial->fd()) == 0) return {};
        return std::unexpected(system_error(fmt::format("syncing {}", partial->data_path()), errno));
      },
      [this, ranges = journal_ranges(written_), bytes = written_bytes_](Result<void> result) {
        syncing_.reset();
        next_sync_ms_ = loop_.now_ms() + sync_interval_ms;
        if (result) {
          synced_ = ranges;
          synced_bytes_ = bytes;
          has_synced_ = true;
        }
        on_saved_(std::move(result));
      });
}

}  // namespace ggufd::fetch
