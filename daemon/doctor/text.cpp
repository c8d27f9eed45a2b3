#include "doctor/text.h"

#include <fmt/core.h>

namespace ggufd::doctor {

std::string count_of(std::size_t number, std::string_view noun) {
  return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s");
}

std::string ago(Timestamp then, Timestamp now) {
  constexpr std::int64_t minute_ms = 60'000;
  constexpr std::int64_t hour_ms = 60 * minute_ms;
  constexpr std::int64_t day_ms = 24 * hour_ms;
  const std::int64_t age_ms = now.ms - then.ms;
  const auto said = [&](std::int64_t unit_ms, std::string_view noun) {
    return count_of(static_cast<std::size_t>(age_ms / unit_ms), noun) + " ago";
  };
  if (age_ms < minute_ms) return "just now";
  if (age_ms < hour_ms) return said(minute_ms, "minute");
  if (age_ms < 2 * day_ms) return said(hour_ms, "hour");
  return said(day_ms, "day");
}

}  // namespace ggufd::doctor
