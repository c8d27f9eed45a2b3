// Where a redirect leads.
#pragma once

#include <optional>
#include <string>

namespace ggufd::fetch {

// The URL that `location` means in an answer of `from` (RFC 3986 section 5.2), without a fragment, where it
// stays on the same scheme, host and port; nothing where it leads elsewhere, carries credentials or is no
// URL.
std::optional<std::string> same_origin_target(const std::string& from, const std::string& location);

}  // namespace ggufd::fetch
