// Any bytes are a journal that is consistent, or none.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "fetch/byte_ranges.h"
#include "fetch/http_fields.h"
#include "fetch/journal.h"

namespace {

using namespace ggufd::fetch;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_ranges(const ByteRanges& ranges, std::uint64_t end) {
  std::uint64_t bytes = 0;
  std::uint64_t front = 0;
  bool is_first = true;
  for (const auto& [begin, range_end] : ranges.all()) {
    require(begin < range_end && range_end <= end && (is_first || begin > front));
    bytes += range_end - begin;
    front = range_end;
    is_first = false;
  }
  require(bytes == ranges.size());
}

// Filled gap by gap, a set becomes the whole file, and its parts taken out again leave nothing.
void check_gaps(const ByteRanges& ranges, std::uint64_t end) {
  ByteRanges filled = ranges;
  std::uint64_t missing = end - ranges.size();
  while (const auto gap = filled.first_gap(0, end)) {
    require(gap->begin < gap->end && gap->size() <= missing);
    require(!filled.contains({gap->begin, gap->begin + 1}));
    missing -= gap->size();
    filled.add(*gap);
  }
  require(missing == 0 && filled.contains({0, end}) && filled.end_of_run(0) == end);
  for (const auto& [begin, range_end] : ranges.all()) filled.remove({begin, range_end});
  require(filled.size() == end - ranges.size());
  check_ranges(filled, end);
}

// The same bytes as a list of changes, each two numbers of the input.
void check_changes(const std::uint8_t* data, std::size_t size) {
  ByteRanges ranges;
  for (std::size_t i = 0; i + 2 < size; i += 3) {
    const ByteRange range{data[i], std::uint64_t{data[i]} + data[i + 1]};
    const bool adds = data[i + 2] % 2 == 0;
    if (adds) ranges.add(range);
    if (!adds) ranges.remove(range);
    require(range.size() == 0 || ranges.contains(range) == adds);
    check_ranges(ranges, 512);
  }
  check_gaps(ranges, 512);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  check_changes(data, size);
  const auto journal = parse_journal(text, "journal.json");
  if (!journal) {
    require(!journal.error().message.empty());
    return 0;
  }
  require(journal->schema_version == 1);
  require(!journal->etag || parse_etag(*journal->etag));
  const ByteRanges ranges = byte_ranges(*journal);
  check_ranges(ranges, journal->size_bytes);
  check_gaps(ranges, journal->size_bytes);
  // As it is written it is read again.
  require(journal_ranges(ranges) == journal->finished);
  require(parse_journal(ggufd::to_json(*journal), "journal.json") == *journal);
  return 0;
}
