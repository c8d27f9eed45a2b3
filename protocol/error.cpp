#include "protocol/error.h"

#include <fmt/core.h>

#include <cerrno>
#include <system_error>

namespace ggufd {

Error system_error(std::string_view what, int error_number, ErrorCode code) {
  const bool is_full = error_number == ENOSPC || error_number == EDQUOT;
  return {is_full ? ErrorCode::disk_full : code,
          fmt::format("{}: {}", what, std::generic_category().message(error_number))};
}

}  // namespace ggufd
