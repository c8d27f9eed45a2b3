// Takes a file's bytes in order, as they arrive, and has the pool write and hash them: when the last byte is
// written, its SHA-256 is known, and no byte is read a second time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "loop/loop.h"
#include "loop/offload.h"
#include "protocol/error.h"
#include "store/digest.h"
#include "store/file.h"

namespace ggufd::fetch {

// Holds at most max_chunks * chunk_bytes in memory. Where the pool is behind, offer() refuses until on_room
// is called. Destroying it drops its callbacks; jobs that run finish with what they hold.
class HashingWriter {
 public:
  static constexpr std::size_t chunk_bytes = std::size_t{1} << 20;
  static constexpr std::size_t max_chunks = 24;
  // Writes under way at a time; the pool's other threads are for hashing and for the rest of the daemon.
  static constexpr int max_writes = 2;

  struct Callbacks {
    std::function<void()> on_room;         // a refused offer may be made again; must not destroy the writer
    std::function<void(Error)> on_failed;  // once; nothing more will be written; may destroy the writer
  };

  // Writes to `fd` from offset 0 on. `keeper` owns the descriptor and is kept alive by every job; `path` is
  // for errors.
  HashingWriter(loop::Loop& loop, int fd, std::shared_ptr<const void> keeper, std::string path,
                Callbacks callbacks);
  HashingWriter(const HashingWriter&) = delete;
  HashingWriter& operator=(const HashingWriter&) = delete;

  // Reserves the file's space before the first write: `disk_full`, with what is needed and what is there,
  // where it is not to be had. Before the first offer. A file system that cannot reserve is written to
  // without.
  void reserve(std::uint64_t total_bytes);

  // True: all of it was taken. False: none of it; on_room follows.
  bool offer(std::span<const std::byte> bytes);

  struct Written {
    store::Digest digest;
    std::uint64_t bytes = 0;
  };
  // No more bytes. on_written comes once all are written and hashed; not after on_failed.
  void finish(std::function<void(Written)> on_written);

 private:
  struct Chunk {
    std::unique_ptr<std::byte[]> bytes;
    std::size_t size = 0;
    std::uint64_t offset = 0;
    int jobs_left = 2;  // written, hashed
  };
  using ChunkPtr = std::shared_ptr<Chunk>;

  bool has_room(std::size_t bytes) const;
  ChunkPtr empty_chunk();
  void seal_current();
  void start_jobs();
  void start_write(loop::OperationPtr& place);
  void start_hash();
  void jobs_done(std::span<const ChunkPtr> chunks);
  bool check(const Result<void>& result);
  bool is_idle() const;
  void finish_when_idle();

  loop::Loop& loop_;
  int fd_;
  std::shared_ptr<const void> keeper_;
  std::string path_;
  Callbacks callbacks_;
  std::function<void(Written)> on_written_;

  ChunkPtr current_;
  std::vector<ChunkPtr> spare_;
  std::size_t chunks_ = 0;  // current, sealed and spare
  std::deque<ChunkPtr> to_write_;
  std::deque<ChunkPtr> to_hash_;
  std::uint64_t offset_ = 0;  // of the next byte that is offered
  std::shared_ptr<store::Sha256> hasher_;

  loop::OperationPtr reserving_;
  std::vector<loop::OperationPtr> writing_;  // one place each for max_writes
  loop::OperationPtr hashing_;
  bool was_refused_ = false;
  bool has_failed_ = false;
};

}  // namespace ggufd::fetch
