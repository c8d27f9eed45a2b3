// Takes a file's bytes as they arrive, in any order, and has the pool write and hash them. The hash follows
// the gapless front of the file: it takes bytes from memory while they are there, and from the page cache
// otherwise, so that the digest is known when the last byte has landed.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "fetch/chunk_buffer.h"
#include "fetch/journal_keeper.h"
#include "fetch/target.h"
#include "loop/loop.h"
#include "loop/operation.h"
#include "loop/timer.h"
#include "protocol/error.h"
#include "store/digest.h"
#include "store/partial.h"

namespace ggufd::fetch {

// Destroying it drops its callbacks; jobs that run finish with what they hold, and what is written and not
// journalled is journalled.
class FileWriter final : public Target {
 public:
  // Writes under way at a time. Two overlap their page cache work although the kernel writes one at a time to
  // a file.
  static constexpr int max_writes = 2;
  // One job's share of reading back what was not hashed from memory.
  static constexpr std::uint64_t read_back_bytes = std::uint64_t{8} << 20;

  // `present` is what the partial's journal vouches for. `on_failed` comes once, may destroy the writer, and
  // nothing more happens after it.
  FileWriter(loop::Loop& loop, std::shared_ptr<store::Partial> partial, const ByteRanges& present,
             std::function<void(Error)> on_failed);
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  // Reserves the file's space before the next write: `disk_full`, with what is needed and what is there,
  // where it is not to be had. A file system that cannot reserve is written to without.
  void reserve(std::uint64_t total_bytes);
  // The journal is kept from now on (JournalKeeper::begin). Without it nothing is safe, and nothing is
  // resumed.
  void keep_journal(Journal head, std::uint64_t batch_bytes) { journal_.begin(std::move(head), batch_bytes); }
  bool keeps_journal() const { return journal_.is_keeping(); }
  // Nothing more is written or journalled, the partial is about to be emptied; on_idle comes once no job
  // holds it.
  void abandon(std::function<void()> on_idle);

  bool offer(std::uint64_t offset, std::span<const std::byte> bytes) override;
  void seal(std::uint64_t end) override { chunks_.seal(end); }
  const ByteRanges& accepted() const override { return accepted_; }
  const ByteRanges& settled() const override { return written_; }
  std::uint64_t safe_bytes() const override;
  void make_safe() override { journal_.save_soon(); }

  // All bytes of the file, so many, were taken. on_complete comes once they are written and hashed and no job
  // holds the partial any more; not after on_failed.
  void finish(std::uint64_t total_bytes, std::function<void(store::Digest)> on_complete);

 private:
  void sealed(ChunkPtr chunk);
  void start_jobs();
  void start_write(loop::OperationPtr& place);
  void start_hash();
  void claim_from_memory();
  void hash_claimed();
  void read_back();
  void chunk_done(const ChunkPtr& chunk);
  void tell_room_if_refused();
  bool check(const Result<void>& result);
  bool is_idle() const;
  void finish_when_idle();

  loop::Loop& loop_;
  std::shared_ptr<store::Partial> partial_;
  std::function<void(Error)> on_failed_;
  std::function<void(store::Digest)> on_complete_;
  std::uint64_t total_bytes_ = 0;  // once finish() was called

  ByteRanges accepted_;
  ByteRanges written_;
  ChunkBuffer chunks_;
  JournalKeeper journal_;

  struct Held {
    ChunkPtr chunk;
    bool is_written = false;
    bool is_claimed = false;  // by the hash, which has not done with it
  };
  std::map<std::uint64_t, Held> held_;  // sealed chunks by their offset
  std::deque<ChunkPtr> to_write_;
  std::vector<ChunkPtr> to_hash_;
  std::uint64_t claimed_end_ =
      0;  // the hash has, or will take from memory or is reading, everything before this
  std::shared_ptr<store::Sha256> hasher_;

  loop::OperationPtr reserving_;
  std::vector<loop::OperationPtr> writing_;  // one place each for max_writes
  loop::OperationPtr hashing_;
  bool was_refused_ = false;
  bool has_failed_ = false;
  std::function<void()> on_idle_;  // once abandoned
  loop::Timer idle_timer_;
};

}  // namespace ggufd::fetch
