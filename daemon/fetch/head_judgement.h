// What the head of an answer to a segment's request means for the download.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "fetch/byte_ranges.h"
#include "fetch/curl_loop.h"
#include "fetch/failure.h"
#include "fetch/identity.h"

namespace ggufd::fetch {

struct Asked {
  // The range that was asked for; its end may lie beyond the file's where the size is not known yet. Nothing:
  // the whole file.
  std::optional<ByteRange> range;
  Identity bound;                           // what is known of the object
  std::optional<std::uint64_t> size_bytes;  // that it must have
  bool may_be_whole = false;                // nothing of it is here: an answer with the whole file is as good
};

struct HeadJudgement {
  enum class Kind : std::uint8_t {
    partial,         // the bytes `range` follow
    whole,           // the file from its begin on, to its end
    object_changed,  // what is here is of another object, or can't be continued; `failure` has the sentence
    failed,          // `failure`
  };
  Kind kind = Kind::failed;
  ByteRange range;             // partial
  Identity identity;           // partial, whole
  bool has_no_ranges = false;  // object_changed: ranges of this server are not to be trusted
  Failure failure;
};

// `now_s`: the wall clock, seconds since 1970.
HeadJudgement judge_head(const Asked& asked, const ResponseHead& head, std::int64_t now_s);

}  // namespace ggufd::fetch
