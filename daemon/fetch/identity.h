// Which object a server's bytes belong to: two answers of one object may be put together, those of two may
// not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ggufd::fetch {

struct Identity {
  std::optional<std::string> etag;           // as it came, W/ included
  std::optional<std::string> last_modified;  // as it came
  std::optional<std::uint64_t> size_bytes;

  // What If-Range may carry (RFC 9110 section 13.1.5): a strong tag, else a date, else nothing.
  std::string if_range() const;
  // Why `later` is another object than this, as a clause; empty where nothing says so. What only one of the
  // two tells says nothing.
  std::string difference(const Identity& later) const;
  // Whether they are the same object by more than their size.
  bool is_vouched_by(const Identity& later) const;

  friend bool operator==(const Identity&, const Identity&) = default;
};

}  // namespace ggufd::fetch
