#include "fetch/byte_ranges.h"

#include <algorithm>
#include <iterator>

namespace ggufd::fetch {

void ByteRanges::add(ByteRange range) {
  if (range.begin >= range.end) return;
  auto next = ends_.upper_bound(range.begin);
  if (next != ends_.begin()) {
    const auto before = std::prev(next);
    if (before->second >= range.begin) {
      range.begin = before->first;
      range.end = std::max(range.end, before->second);
      ends_.erase(before);
    }
  }
  while (next != ends_.end() && next->first <= range.end) {
    range.end = std::max(range.end, next->second);
    next = ends_.erase(next);
  }
  ends_.emplace_hint(next, range.begin, range.end);
}

void ByteRanges::remove(ByteRange range) {
  if (range.begin >= range.end) return;
  auto each = ends_.upper_bound(range.begin);
  if (each != ends_.begin()) --each;
  while (each != ends_.end() && each->first < range.end) {
    const ByteRange old{each->first, each->second};
    each = ends_.erase(each);
    if (old.begin < range.begin && old.end > old.begin) ends_[old.begin] = std::min(old.end, range.begin);
    if (old.end > range.end) ends_[std::max(old.begin, range.end)] = old.end;
  }
}

std::uint64_t ByteRanges::size() const {
  std::uint64_t bytes = 0;
  for (const auto& [begin, end] : ends_) bytes += end - begin;
  return bytes;
}

bool ByteRanges::contains(ByteRange range) const {
  return range.begin >= range.end || end_of_run(range.begin) >= range.end;
}

std::uint64_t ByteRanges::end_of_run(std::uint64_t offset) const {
  const auto next = ends_.upper_bound(offset);
  if (next == ends_.begin()) return offset;
  return std::max(std::prev(next)->second, offset);
}

std::optional<ByteRange> ByteRanges::first_gap(std::uint64_t from, std::uint64_t end) const {
  const std::uint64_t begin = end_of_run(from);
  if (begin >= end) return std::nullopt;
  const auto next = ends_.upper_bound(begin);
  return ByteRange{begin, next == ends_.end() ? end : std::min(end, next->first)};
}

}  // namespace ggufd::fetch
