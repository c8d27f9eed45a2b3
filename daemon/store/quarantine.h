// Where bad bytes go: kept with their evidence, out of every loader's way, never over one another.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/error.h"
#include "protocol/fields.h"
#include "store/folder.h"

namespace ggufd::store {

// Bytes [begin, end) of a file.
struct DifferingRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  static void fields(auto& self, auto&& f) {
    f("begin", self.begin, "the first byte");
    f("end", self.end, "the one behind the last");
  }
  friend bool operator==(const DifferingRange&, const DifferingRange&) = default;
};

// Why a file is put away. `expected` and `actual` are digests as 64 hex digits, or whatever else did not
// agree.
struct QuarantineEvidence {
  std::string url;     // no credentials, no query; empty where unknown
  std::string reason;  // a word, such as sha256_mismatch; part of the file's name
  std::string expected;
  std::string actual;
  // Bytes that differed when the source was asked for them again.
  std::vector<DifferingRange> differing_ranges = {};
};

// The evidence as it is written beside the file.
struct QuarantineRecord {
  std::string url;
  std::string reason;
  std::string expected;
  std::string actual;
  std::uint64_t size = 0;  // bytes
  Timestamp when;
  // Always written; absent in evidence that is older than this key.
  std::optional<std::vector<DifferingRange>> differing_ranges = {};

  static void fields(auto& self, auto&& f) {
    f("url", self.url, "where the bytes came from, without credentials and query; empty where unknown");
    f("reason", self.reason, "what was wrong");
    f("expected", self.expected, "what they should have been");
    f("actual", self.actual, "what they were");
    f("size", self.size, "bytes in the file");
    f("when", self.when, "when it was put away");
    f("differing_ranges", self.differing_ranges,
      "bytes that differed when the source was asked for them again");
  }
  friend bool operator==(const QuarantineRecord&, const QuarantineRecord&) = default;
};

// Moves the file `name` out of the folder `from` into the folder `quarantine` as
// `<UTC time>-<reason>[-N].bin`, with its evidence as `.json` beside it, and returns the new path. N counts
// from 2 where the name is taken; nothing is ever overwritten. `file_fd` is the file that is meant (any
// mode). It is renamed, or, on another file system, copied and then removed.
Result<std::string> move_to_quarantine(const Folder& quarantine, const Folder& from, const std::string& name,
                                       int file_fd, const QuarantineEvidence& evidence, Timestamp when);

// "20260518T000000Z"
std::string quarantine_time(Timestamp when);

}  // namespace ggufd::store
