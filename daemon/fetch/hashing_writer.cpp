#include "fetch/hashing_writer.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

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

Error no_space(int fd, std::uint64_t total_bytes, const std::string& path) {
  struct statvfs volume{};
  const std::uint64_t free_bytes =
      fstatvfs(fd, &volume) == 0 ? static_cast<std::uint64_t>(volume.f_bavail) * volume.f_frsize : 0;
  return {ErrorCode::disk_full,
          fmt::format("{} needs {} bytes and its file system has {} free; make room, or move "
                      "the store with models_home",
                      path, total_bytes, free_bytes)};
}

Result<void> reserve_space(int fd, std::uint64_t total_bytes, const std::string& path) {
  if (total_bytes == 0) return {};
  if (fallocate(fd, 0, 0, static_cast<off_t>(total_bytes)) == 0) return {};
  if (errno == ENOSPC || errno == EDQUOT) return std::unexpected(no_space(fd, total_bytes, path));
  if (errno == EFBIG)
    return fail(ErrorCode::disk_full, fmt::format("{} may not grow to {} bytes", path, total_bytes));
  return {};  // not every file system can; the writes will tell
}

}  // namespace

HashingWriter::HashingWriter(loop::Loop& loop, int fd, std::shared_ptr<const void> keeper, std::string path,
                             Callbacks callbacks)
    : loop_(loop),
      fd_(fd),
      keeper_(std::move(keeper)),
      path_(std::move(path)),
      callbacks_(std::move(callbacks)),
      hasher_(std::make_shared<store::Sha256>()),
      writing_(max_writes) {}

void HashingWriter::reserve(std::uint64_t total_bytes) {
  reserving_ = loop::offload<void>(
      loop_,
      [fd = fd_, keeper = keeper_, path = path_, total_bytes](loop::CancelToken) {
        return reserve_space(fd, total_bytes, path);
      },
      [this](Result<void> result) {
        reserving_.reset();
        if (!check(result)) return;
        start_jobs();
        finish_when_idle();
      });
}

bool HashingWriter::offer(std::span<const std::byte> bytes) {
  if (has_failed_) return true;  // to be thrown away
  if (!has_room(bytes.size())) {
    was_refused_ = true;
    return false;
  }
  while (!bytes.empty()) {
    if (!current_) current_ = empty_chunk();
    const std::size_t count = std::min(bytes.size(), chunk_bytes - current_->size);
    std::memcpy(current_->bytes.get() + current_->size, bytes.data(), count);
    current_->size += count;
    offset_ += count;
    bytes = bytes.subspan(count);
    if (current_->size == chunk_bytes) seal_current();
  }
  return true;
}

void HashingWriter::finish(std::function<void(Written)> on_written) {
  on_written_ = std::move(on_written);
  if (current_) seal_current();
  if (!is_idle()) return;  // the last job tells
  // Nothing is left to do, and that is told by a job all the same, never from inside this call.
  hashing_ = loop::offload<void>(
      loop_, [](loop::CancelToken) { return Result<void>(); },
      [this](Result<void>) {
        hashing_.reset();
        finish_when_idle();
      });
}

bool HashingWriter::has_room(std::size_t bytes) const {
  const std::size_t in_current = current_ ? chunk_bytes - current_->size : 0;
  return bytes <= in_current + (max_chunks - chunks_ + spare_.size()) * chunk_bytes;
}

HashingWriter::ChunkPtr HashingWriter::empty_chunk() {
  ChunkPtr chunk;
  if (spare_.empty()) {
    chunk = std::make_shared<Chunk>();
    chunk->bytes = std::make_unique_for_overwrite<std::byte[]>(chunk_bytes);
    ++chunks_;
  } else {
    chunk = std::move(spare_.back());
    spare_.pop_back();
  }
  chunk->size = 0;
  chunk->offset = offset_;
  chunk->jobs_left = 2;
  return chunk;
}

void HashingWriter::seal_current() {
  to_write_.push_back(current_);
  to_hash_.push_back(std::move(current_));
  start_jobs();
}

void HashingWriter::start_jobs() {
  if (has_failed_) return;
  start_hash();
  for (loop::OperationPtr& write : writing_) {
    if (!reserving_ && !write && !to_write_.empty()) start_write(write);
  }
}

void HashingWriter::start_write(loop::OperationPtr& place) {
  ChunkPtr chunk = std::move(to_write_.front());
  to_write_.pop_front();
  place = loop::offload<void>(
      loop_,
      [fd = fd_, keeper = keeper_, path = path_, chunk](loop::CancelToken) {
        auto written = store::pwrite_all(fd, std::span(chunk->bytes.get(), chunk->size), chunk->offset, path);
        if (written) start_writeback(fd, chunk->offset, chunk->size);
        return written;
      },
      [this, &place, chunk](Result<void> result) {
        place.reset();
        if (check(result)) jobs_done({&chunk, 1});
      });
}

// One job at a time, because the order counts; it takes all that waits.
void HashingWriter::start_hash() {
  if (hashing_ || to_hash_.empty()) return;
  std::vector<ChunkPtr> chunks(to_hash_.begin(), to_hash_.end());
  to_hash_.clear();
  hashing_ = loop::offload<void>(
      loop_,
      [hasher = hasher_, chunks](loop::CancelToken) {
        for (const ChunkPtr& chunk : chunks) hasher->update(std::span(chunk->bytes.get(), chunk->size));
        return Result<void>();
      },
      [this, chunks](Result<void>) {
        hashing_.reset();
        jobs_done(chunks);
      });
}

void HashingWriter::jobs_done(std::span<const ChunkPtr> chunks) {
  for (const ChunkPtr& chunk : chunks) {
    if (--chunk->jobs_left == 0) spare_.push_back(chunk);
  }
  start_jobs();
  if (was_refused_ && !spare_.empty()) {
    was_refused_ = false;
    callbacks_.on_room();
  }
  finish_when_idle();
}

bool HashingWriter::check(const Result<void>& result) {
  if (result) return true;
  if (!std::exchange(has_failed_, true)) std::exchange(callbacks_.on_failed, nullptr)(result.error());
  return false;
}

bool HashingWriter::is_idle() const {
  return !reserving_ && !hashing_ && to_hash_.empty() && to_write_.empty() &&
         std::ranges::all_of(writing_, [](const auto& write) { return write == nullptr; });
}

void HashingWriter::finish_when_idle() {
  if (!on_written_ || !is_idle() || has_failed_) return;
  const auto digest = hasher_->finish();
  if (!digest) {
    check(std::unexpected(digest.error()));
    return;
  }
  std::exchange(on_written_, nullptr)({*digest, offset_});  // may destroy this
}

}  // namespace ggufd::fetch
