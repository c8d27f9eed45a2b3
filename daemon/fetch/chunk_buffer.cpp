#include "fetch/chunk_buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ggufd::fetch {

bool ChunkBuffer::offer(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (bytes.empty()) return true;
  if (!has_room(offset, bytes.size())) return false;
  while (!bytes.empty()) {
    ChunkPtr chunk = take_open(offset);
    const std::size_t count = std::min(bytes.size(), chunk_bytes - chunk->size);
    std::memcpy(chunk->bytes.get() + chunk->size, bytes.data(), count);
    chunk->size += count;
    offset += count;
    bytes = bytes.subspan(count);
    if (chunk->size == chunk_bytes) {
      on_sealed_(std::move(chunk));
    } else {
      open_.insert_or_assign(offset, std::move(chunk));
    }
  }
  return true;
}

void ChunkBuffer::seal(std::uint64_t end) {
  const auto found = open_.find(end);
  if (found == open_.end()) return;
  ChunkPtr chunk = std::move(found->second);
  open_.erase(found);
  on_sealed_(std::move(chunk));
}

void ChunkBuffer::seal_all() {
  for (auto& [end, chunk] : std::exchange(open_, {})) on_sealed_(std::move(chunk));
}

bool ChunkBuffer::has_room(std::uint64_t offset, std::size_t bytes) const {
  const auto found = open_.find(offset);
  const std::size_t in_open = found == open_.end() ? 0 : chunk_bytes - found->second->size;
  return bytes <= in_open + (max_chunks - chunks_ + spare_.size()) * chunk_bytes;
}

// The chunk that grows at `offset`, taken out of open_: its key is about to change.
ChunkPtr ChunkBuffer::take_open(std::uint64_t offset) {
  if (auto node = open_.extract(offset)) return std::move(node.mapped());
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
  chunk->offset = offset;
  return chunk;
}

}  // namespace ggufd::fetch
