// A set of bytes of a file, as ranges: what has been written, what is being fetched, what is missing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace ggufd::fetch {

// [begin, end); empty where they are equal.
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  std::uint64_t size() const { return end - begin; }
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

class ByteRanges {
 public:
  // Neighbours and overlaps become one range.
  void add(ByteRange range);
  void remove(ByteRange range);
  void clear() { ends_.clear(); }

  // Bytes in all.
  std::uint64_t size() const;
  bool contains(ByteRange range) const;
  // The end of the range that begins at `offset` or contains it; `offset` itself where it is not in the set.
  std::uint64_t end_of_run(std::uint64_t offset) const;
  // The first bytes from `from` on, and before `end`, that are not in the set.
  std::optional<ByteRange> first_gap(std::uint64_t from, std::uint64_t end) const;

  // begin -> end, ascending; no two touch.
  const std::map<std::uint64_t, std::uint64_t>& all() const { return ends_; }

  friend bool operator==(const ByteRanges&, const ByteRanges&) = default;

 private:
  std::map<std::uint64_t, std::uint64_t> ends_;
};

}  // namespace ggufd::fetch
