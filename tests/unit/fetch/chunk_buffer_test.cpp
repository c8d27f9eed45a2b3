// The memory between curl and the pool.
#include "fetch/chunk_buffer.h"

#include <doctest/doctest.h>

#include <string>

namespace ggufd::fetch {
namespace {

constexpr std::size_t chunk_bytes = ChunkBuffer::chunk_bytes;

struct Buffer {
  std::vector<ChunkPtr> sealed;
  ChunkBuffer chunks{[this](ChunkPtr chunk) { sealed.push_back(std::move(chunk)); }};

  bool offer(std::uint64_t offset, std::string_view text) {
    return chunks.offer(offset, std::as_bytes(std::span(text)));
  }
  static std::string text_of(const Chunk& chunk) {
    return {reinterpret_cast<const char*>(chunk.bytes.get()), chunk.size};
  }
};

TEST_CASE("a run is gathered until its chunk is full or sealed") {
  Buffer buffer;
  REQUIRE(buffer.offer(100, "abc"));
  REQUIRE(buffer.offer(103, "def"));
  CHECK(buffer.sealed.empty());
  CHECK(buffer.chunks.in_use() == 0);
  buffer.chunks.seal(105);  // nobody's end
  CHECK(buffer.sealed.empty());
  buffer.chunks.seal(106);
  REQUIRE(buffer.sealed.size() == 1);
  CHECK(buffer.sealed[0]->offset == 100);
  CHECK(buffer.sealed[0]->end() == 106);
  CHECK(Buffer::text_of(*buffer.sealed[0]) == "abcdef");
  CHECK(buffer.chunks.in_use() == 1);
  buffer.chunks.release(std::move(buffer.sealed[0]));
  CHECK(buffer.chunks.in_use() == 0);
}

TEST_CASE("runs at several places do not mix") {
  Buffer buffer;
  REQUIRE(buffer.offer(0, "aa"));
  REQUIRE(buffer.offer(50, "bb"));
  REQUIRE(buffer.offer(2, "aa"));
  REQUIRE(buffer.offer(52, "bb"));
  buffer.chunks.seal_all();
  REQUIRE(buffer.sealed.size() == 2);
  CHECK(Buffer::text_of(*buffer.sealed[0]) == "aaaa");
  CHECK(Buffer::text_of(*buffer.sealed[1]) == "bbbb");
  CHECK(buffer.sealed[1]->offset == 50);
}

TEST_CASE("what exceeds a chunk goes on in the next one, without a gap") {
  Buffer buffer;
  const std::string bytes = std::string(chunk_bytes - 1, 'x') + "yz";
  REQUIRE(buffer.offer(7, bytes));
  REQUIRE(buffer.sealed.size() == 1);
  CHECK(buffer.sealed[0]->size == chunk_bytes);
  buffer.chunks.seal_all();
  REQUIRE(buffer.sealed.size() == 2);
  CHECK(buffer.sealed[1]->offset == buffer.sealed[0]->end());
  CHECK(Buffer::text_of(*buffer.sealed[1]) == "z");
}

TEST_CASE("memory has an end, and what is refused is refused whole") {
  Buffer buffer;
  const std::string chunk(chunk_bytes, 'x');
  for (std::size_t i = 0; i + 1 < ChunkBuffer::max_chunks; ++i) REQUIRE(buffer.offer(i * chunk_bytes, chunk));
  const std::uint64_t next = (ChunkBuffer::max_chunks - 1) * chunk_bytes;
  REQUIRE(buffer.offer(next, "x"));
  CHECK(buffer.sealed.size() == ChunkBuffer::max_chunks - 1);
  CHECK_FALSE(buffer.offer(next + 1, chunk));
  REQUIRE(buffer.offer(next + 1, std::string_view(chunk).substr(1)));
  CHECK_FALSE(buffer.offer(next + chunk_bytes, "x"));
  CHECK(buffer.chunks.in_use() == ChunkBuffer::max_chunks);
  CHECK(buffer.offer(next + chunk_bytes, ""));
  buffer.chunks.release(std::move(buffer.sealed.back()));
  buffer.sealed.pop_back();
  CHECK(buffer.offer(next + chunk_bytes, "x"));
}

TEST_CASE("open runs alone can fill the memory; sealing them all makes it come back") {
  Buffer buffer;
  for (std::size_t i = 0; i < ChunkBuffer::max_chunks; ++i) REQUIRE(buffer.offer(i * 1000, "x"));
  CHECK_FALSE(buffer.offer(500, "x"));
  CHECK(buffer.chunks.in_use() == 0);
  buffer.chunks.seal_all();
  CHECK(buffer.chunks.in_use() == ChunkBuffer::max_chunks);
  for (ChunkPtr& chunk : buffer.sealed) buffer.chunks.release(std::move(chunk));
  CHECK(buffer.offer(500, "x"));
}

}  // namespace
}  // namespace ggufd::fetch
