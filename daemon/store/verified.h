// verified.json: what was verified of a blob, when, and the file's stat at that moment; and the judgement,
// from it, of whether the blob has to be read again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "protocol/error.h"
#include "protocol/fields.h"
#include "protocol/load_phase.h"
#include "store/digest.h"
#include "store/stat_stamp.h"

namespace ggufd::store {

struct VerifiedRecord {
  std::uint32_t schema_version = 1;
  std::string sha256;  // 64 hex digits
  std::uint64_t size_bytes = 0;
  Timestamp verified_at;
  std::string verified_by;
  std::optional<std::string> source_url;  // no credentials, no query
  StatStamp stat;
  std::optional<std::string> fs_verity;  // measure_verity()

  static void fields(auto& self, auto&& f) {
    f("schema_version", self.schema_version, "1");
    f("sha256", self.sha256, "the digest that the bytes were found to have");
    f("size_bytes", self.size_bytes, "the number of bytes hashed");
    f("verified_at", self.verified_at, "when");
    f("verified_by", self.verified_by, "the program that did it");
    f("source_url", self.source_url, "where the bytes came from, without credentials and query");
    f("stat", self.stat, "the file's stat right after");
    f("fs_verity", self.fs_verity, "the Merkle digest where the file is sealed with fs-verity");
  }
  friend bool operator==(const VerifiedRecord&, const VerifiedRecord&) = default;
};

struct Judgement {
  bool needs_hash = true;
  Integrity integrity =
      Integrity::hashed;  // what holds now; with needs_hash, what will hold once it was hashed
  std::string reason;     // why it has to be read again; empty where it has not

  friend bool operator==(const Judgement&, const Judgement&) = default;
};

// Compares what was recorded of the blob `digest` with what the kernel says of its file now. `measured` is
// measure_verity(): an equal one outweighs the stat, because the kernel refuses every write to such a file.
// Who may have written the record is the caller's question, and comes first.
Judgement judge(const Digest& digest, const VerifiedRecord& record, const StatStamp& now,
                const std::optional<std::string>& measured);

}  // namespace ggufd::store
