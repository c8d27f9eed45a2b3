// journal.json beside a partial's data.tmp: which object the bytes belong to, and which of them are on the
// disk.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fetch/byte_ranges.h"
#include "protocol/error.h"
#include "protocol/fields.h"
#include "store/partial.h"

namespace ggufd::fetch {

struct JournalRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  static void fields(auto& self, auto&& f) {
    f("begin", self.begin, "the first byte");
    f("end", self.end, "the one behind the last");
  }
  friend bool operator==(const JournalRange&, const JournalRange&) = default;
};

struct Journal {
  std::uint32_t schema_version = 1;
  std::string url;       // of the source, no credentials, no query
  std::string revision;  // the commit that it was resolved to; empty where there is no such thing
  std::optional<std::string> etag;
  std::optional<std::string> last_modified;
  std::uint64_t size_bytes = 0;
  std::vector<JournalRange> finished;  // ascending; no two touch
  // What is written is in the kernel's hands and outlives this process, but a power cut only once it is
  // synced. So the boot is named in which `finished` holds; in any other one `synced` does. Both absent:
  // `finished` is synced.
  std::optional<std::string> boot_id;
  std::optional<std::vector<JournalRange>> synced;

  static void fields(auto& self, auto&& f) {
    f("schema_version", self.schema_version, "1");
    f("url", self.url, "where the bytes come from, without credentials and query");
    f("revision", self.revision, "the commit there; empty where there is no such thing");
    f("etag", self.etag, "the object's entity tag, as it came");
    f("last_modified", self.last_modified, "its date, as it came");
    f("size_bytes", self.size_bytes, "its size");
    f("finished", self.finished, "the ranges that are written");
    f("boot_id", self.boot_id, "the boot of the machine that `finished` holds in");
    f("synced", self.synced, "the ranges that hold after any other boot");
  }
  friend bool operator==(const Journal&, const Journal&) = default;
};

std::vector<JournalRange> journal_ranges(const ByteRanges& ranges);
ByteRanges byte_ranges(const Journal& journal);

// The journal that `text` is; an error, `io`, names what is wrong: another schema, ranges that are out of
// order, touch or reach beyond the size. `path` is for the error.
Result<Journal> parse_journal(const std::string& text, const std::string& path);

// The partial's journal, with what is to be believed of it in `finished`, and without boot_id.
// Nothing where there is none or it is worth nothing (malformed, or of a data.tmp that is shorter than it
// says): then the bytes are worth nothing either. Blocks.
Result<std::optional<Journal>> read_journal(const store::Partial& partial);
// The same for a partial that another process writes: for a look at its progress.
std::optional<Journal> peek_journal(const std::string& partial_folder);
// What has arrived of the download in that folder, as far as its journal vouches for it: what data.tmp takes
// on the disk says nothing, its whole length is reserved at the start. Blocks.
std::uint64_t arrived_bytes(const std::string& partial_folder);

// Replaces the journal; `journal.finished` is written and `synced`, a part of it, is synced. Whole for every
// other process and after a kill; with `durability` also after a power cut. Blocks.
Result<void> write_journal(const store::Partial& partial, Journal journal,
                           const std::vector<JournalRange>& synced = {},
                           store::Durability durability = store::Durability::kill);

// Removes the journal and empties the file: a download that begins anew. Blocks.
Result<void> reset_partial(const store::Partial& partial);

}  // namespace ggufd::fetch
