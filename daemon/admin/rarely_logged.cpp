#include "admin/rarely_logged.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <string>
#include <utility>

namespace ggufd::admin {
namespace {

constexpr std::uint64_t log_interval_ms = 1000;

}  // namespace

void RarelyLogged::warn(std::uint64_t now_ms, std::string_view sentence) {
  if (last_ms_ && now_ms - *last_ms_ < log_interval_ms) {
    ++untold_;
    return;
  }
  last_ms_ = now_ms;
  const std::uint64_t others = std::exchange(untold_, 0);
  spdlog::warn("admin: {}{}", sentence, others == 0 ? "" : fmt::format(" ({} more before it)", others));
}

}  // namespace ggufd::admin
