// The bounded memory between curl and the pool: bytes of several runs of a file are gathered into chunks that
// are worth a job each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

namespace ggufd::fetch {

struct Chunk {
  std::unique_ptr<std::byte[]> bytes;
  std::size_t size = 0;
  std::uint64_t offset = 0;  // in the file

  std::uint64_t end() const { return offset + size; }
  std::span<const std::byte> content() const { return {bytes.get(), size}; }
};
using ChunkPtr = std::shared_ptr<Chunk>;

class ChunkBuffer {
 public:
  static constexpr std::size_t chunk_bytes = std::size_t{1} << 20;
  static constexpr std::size_t max_chunks = 24;

  // `on_sealed` takes each chunk that is full or will not grow; release() gives it back.
  explicit ChunkBuffer(std::function<void(ChunkPtr)> on_sealed) : on_sealed_(std::move(on_sealed)) {}
  ChunkBuffer(const ChunkBuffer&) = delete;
  ChunkBuffer& operator=(const ChunkBuffer&) = delete;

  // Bytes that belong at `offset`; they continue the run that ends there, or begin one. False: there is no
  // room, and none of them was taken.
  bool offer(std::uint64_t offset, std::span<const std::byte> bytes);
  // The run that ends at `end` goes no further.
  void seal(std::uint64_t end);
  // Where many runs are open the memory may all be theirs, with nothing sealed that could be given back.
  void seal_all();

  void release(ChunkPtr chunk) { spare_.push_back(std::move(chunk)); }
  // Chunks that are sealed and not given back.
  std::size_t in_use() const { return chunks_ - spare_.size() - open_.size(); }

 private:
  bool has_room(std::uint64_t offset, std::size_t bytes) const;
  ChunkPtr take_open(std::uint64_t offset);

  std::function<void(ChunkPtr)> on_sealed_;
  std::map<std::uint64_t, ChunkPtr> open_;  // by the offset of the byte that would be next
  std::vector<ChunkPtr> spare_;
  std::size_t chunks_ = 0;  // made so far
};

}  // namespace ggufd::fetch
