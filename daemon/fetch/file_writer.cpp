#include "fetch/file_writer.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "fetch/reserve_space.h"
#include "loop/offload.h"
#include "store/file.h"
#include "store/hash_slice.h"

namespace ggufd::fetch {
namespace {

// Makes the kernel begin to write dirty pages back, so that the fsync at the end finds little left to do.
void start_writeback(int fd, std::uint64_t offset, std::size_t bytes) {
#ifdef SYNC_FILE_RANGE_WRITE
  sync_file_range(fd, static_cast<off64_t>(offset), static_cast<off64_t>(bytes), SYNC_FILE_RANGE_WRITE);
#else
  (void)fd, (void)offset, (void)bytes;
#endif
}

}  // namespace

FileWriter::FileWriter(loop::Loop& loop, std::shared_ptr<store::Partial> partial, const ByteRanges& present,
                       std::function<void(Error)> on_failed)
    : loop_(loop),
      partial_(std::move(partial)),
      on_failed_(std::move(on_failed)),
      accepted_(present),
      written_(present),
      chunks_([this](ChunkPtr chunk) { sealed(std::move(chunk)); }),
      journal_(loop, partial_, present,
               [this](const Result<void>& result) {
                 if (!check(result)) return;
                 tell_settled();
                 finish_when_idle();
               }),
      hasher_(std::make_shared<store::Sha256>()),
      writing_(max_writes),
      idle_timer_(loop, [this] {
        if (journal_.stop()) std::exchange(on_idle_, nullptr)();  // may destroy this
      }) {
  start_hash();  // of what is there
}

void FileWriter::reserve(std::uint64_t total_bytes) {
  reserving_ = loop::offload<void>(
      loop_,
      [partial = partial_, total_bytes](loop::CancelToken) {
        return reserve_space(partial->fd(), total_bytes, partial->data_path());
      },
      [this](const Result<void>& result) {
        reserving_.reset();
        if (!check(result)) return;
        start_jobs();
        finish_when_idle();
      });
}

bool FileWriter::offer(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (has_failed_ || on_idle_) return true;  // to be thrown away
  if (!chunks_.offer(offset, bytes)) {
    was_refused_ = true;
    // All memory may be in runs that are still open: then room comes from sealing them.
    if (chunks_.in_use() == 0) chunks_.seal_all();
    return false;
  }
  accepted_.add({offset, offset + bytes.size()});
  return true;
}

// Without a journal there is nothing to wait for: a crash loses it all whatever is done.
std::uint64_t FileWriter::safe_bytes() const {
  return journal_.is_keeping() ? journal_.saved_bytes() : accepted_.size();
}

void FileWriter::finish(std::uint64_t total_bytes, std::function<void(store::Digest)> on_complete) {
  on_complete_ = std::move(on_complete);
  total_bytes_ = total_bytes;
  chunks_.seal_all();
  journal_.stop();
  if (!is_idle()) return;  // the last job tells
  // Nothing is left to do, and that is told by a job all the same, never from inside this call.
  hashing_ = loop::offload<void>(
      loop_, [](loop::CancelToken) { return Result<void>(); },
      [this](const Result<void>&) {
        hashing_.reset();
        finish_when_idle();
      });
}

void FileWriter::sealed(ChunkPtr chunk) {
  held_.emplace(chunk->offset, Held{chunk});
  to_write_.push_back(std::move(chunk));
  start_jobs();
}

void FileWriter::start_jobs() {
  if (has_failed_ || on_idle_) return;
  start_hash();
  for (loop::OperationPtr& write : writing_) {
    if (!reserving_ && !write && !to_write_.empty()) start_write(write);
  }
}

void FileWriter::start_write(loop::OperationPtr& place) {
  ChunkPtr chunk = std::move(to_write_.front());
  to_write_.pop_front();
  place = loop::offload<void>(
      loop_,
      [partial = partial_, chunk](loop::CancelToken) {
        auto written =
            store::pwrite_all(partial->fd(), chunk->content(), chunk->offset, partial->data_path());
        if (written) start_writeback(partial->fd(), chunk->offset, chunk->size);
        return written;
      },
      [this, &place, chunk](const Result<void>& result) {
        place.reset();
        if (!check(result)) return;
        written_.add({chunk->offset, chunk->end()});
        journal_.written(written_);
        held_[chunk->offset].is_written = true;
        chunk_done(chunk);
        start_jobs();
        tell_settled();
        tell_room_if_refused();
        finish_when_idle();
      });
}

// One job at a time, because the order counts; it takes all that waits.
void FileWriter::start_hash() {
  claim_from_memory();
  if (hashing_ || has_failed_) return;
  if (!to_hash_.empty()) return hash_claimed();
  if (written_.end_of_run(claimed_end_) > claimed_end_) read_back();
}

void FileWriter::claim_from_memory() {
  for (auto next = held_.find(claimed_end_); next != held_.end(); next = held_.find(claimed_end_)) {
    next->second.is_claimed = true;
    claimed_end_ = next->second.chunk->end();
    to_hash_.push_back(next->second.chunk);
  }
}

void FileWriter::hash_claimed() {
  const std::vector<ChunkPtr> chunks = std::exchange(to_hash_, {});
  hashing_ = loop::offload<void>(
      loop_,
      [hasher = hasher_, chunks](loop::CancelToken) {
        for (const ChunkPtr& chunk : chunks) hasher->update(chunk->content());
        return Result<void>();
      },
      [this, chunks](const Result<void>&) {
        hashing_.reset();
        for (const ChunkPtr& chunk : chunks) {
          held_[chunk->offset].is_claimed = false;
          chunk_done(chunk);
        }
        start_jobs();
        tell_room_if_refused();
        finish_when_idle();
      });
}

void FileWriter::read_back() {
  const ByteRange range{claimed_end_,
                        std::min(written_.end_of_run(claimed_end_), claimed_end_ + read_back_bytes)};
  claimed_end_ = range.end;
  hashing_ = loop::offload<void>(
      loop_,
      [partial = partial_, hasher = hasher_, range](loop::CancelToken) {
        return store::hash_slice(partial->fd(), range.begin, range.size(), *hasher, partial->data_path());
      },
      [this](const Result<void>& result) {
        hashing_.reset();
        if (!check(result)) return;
        start_jobs();
        finish_when_idle();
      });
}

// The memory of a chunk is free once it is written, unless the hash will come for it.
void FileWriter::chunk_done(const ChunkPtr& chunk) {
  const auto held = held_.find(chunk->offset);
  if (!held->second.is_written || held->second.is_claimed) return;
  held_.erase(held);
  chunks_.release(chunk);
}

void FileWriter::tell_room_if_refused() {
  if (has_failed_ || !std::exchange(was_refused_, false)) return;
  tell_room();
}

// An abandoned writer has no errors: what it wrote is thrown away.
bool FileWriter::check(const Result<void>& result) {
  if (on_idle_) return true;
  if (has_failed_) return false;
  if (result) return true;
  has_failed_ = true;
  const auto on_failed = std::exchange(on_failed_, nullptr);
  on_failed(result.error());  // may destroy this
  return false;
}

bool FileWriter::is_idle() const {
  return !reserving_ && !hashing_ && to_hash_.empty() && to_write_.empty() &&
         std::ranges::all_of(writing_, [](const auto& write) { return write == nullptr; });
}

void FileWriter::abandon(std::function<void()> on_idle) {
  on_idle_ = std::move(on_idle);
  to_write_.clear();
  to_hash_.clear();
  journal_.stop();
  if (is_idle()) idle_timer_.start_once(0);
}

void FileWriter::finish_when_idle() {
  if (on_idle_ && is_idle() && journal_.stop()) {
    return idle_timer_.start_once(0);  // told from no callback of ours
  }
  if (!on_complete_ || has_failed_ || !is_idle() || !journal_.stop()) return;
  const auto digest = hasher_->finish();
  if (!digest) {
    check(std::unexpected(digest.error()));
    return;
  }
  std::exchange(on_complete_, nullptr)(*digest);  // may destroy this
}

}  // namespace ggufd::fetch
