// The stamp of a local file that is used in place. The file and its folder are the user's: nothing is written
// there, so what was verified of it is kept in the store, in `stamps/<SHA-256 of the absolute path>.json`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "protocol/error.h"
#include "protocol/fields.h"
#include "store/digest.h"
#include "store/stat_stamp.h"

namespace ggufd::store {

struct LocalStamp {
  std::uint32_t schema_version = 1;
  std::string path;    // absolute, as configured
  std::string sha256;  // 64 hex digits
  StatStamp stat;
  Timestamp verified_at;

  static void fields(auto& self, auto&& f) {
    f("schema_version", self.schema_version, "1");
    f("path", self.path, "the file's absolute path");
    f("sha256", self.sha256, "the digest that its bytes were found to have");
    f("stat", self.stat, "the file's stat right before it was hashed");
    f("verified_at", self.verified_at, "when");
  }
  friend bool operator==(const LocalStamp&, const LocalStamp&) = default;
};

// A stamp that still holds: the file has this digest, by its stat (`stat-cached`).
struct FoundLocalStamp {
  Digest digest;
  Timestamp verified_at;
};

// What has to be taken before a local file is hashed, so that a change during the hashing is noticed.
struct BeforeHash {
  StatStamp stat;
  std::int64_t taken_at_ns = 0;  // realtime clock
};
Result<BeforeHash> before_hash(int fd, const std::string& path);

// Why nothing may be concluded from the stat of the open file: it, or the folder that it really lies in, may
// be written by another user. Empty where it may not.
Result<std::string> distrust_of_local(int fd, const std::string& path);

}  // namespace ggufd::store
