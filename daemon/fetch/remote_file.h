// A file at a source, as it was found there before its bytes are asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "store/digest.h"

namespace ggufd::fetch {

struct RemoteFile {
  std::string url;           // what ranges are asked from; pinned to a commit where the source has such
  std::string bearer_token;  // for url's host only, empty: none; never shown, logged or written
  std::string revision;      // the commit that it is pinned to; empty where there is no such thing
  // What the source publishes of it (X-Linked-Size, X-Linked-Etag).
  std::optional<std::uint64_t> size_bytes;
  std::optional<store::Digest> sha256;
};

}  // namespace ggufd::fetch
