#include "fetch/identity.h"

#include <fmt/core.h>

#include "fetch/http_fields.h"

namespace ggufd::fetch {

std::string Identity::if_range() const {
  if (etag && is_strong(*etag)) return *etag;
  return last_modified.value_or("");
}

std::string Identity::difference(const Identity& later) const {
  if (size_bytes && later.size_bytes && *size_bytes != *later.size_bytes)
    return fmt::format("it has {} bytes now and had {}", *later.size_bytes, *size_bytes);
  if (etag && later.etag) return *etag == *later.etag ? "" : "its ETag has changed";
  if (last_modified && later.last_modified && *last_modified != *later.last_modified)
    return "its Last-Modified has changed";
  return "";
}

bool Identity::is_vouched_by(const Identity& later) const {
  if (!difference(later).empty()) return false;
  return (etag && later.etag) || (last_modified && later.last_modified);
}

}  // namespace ggufd::fetch
