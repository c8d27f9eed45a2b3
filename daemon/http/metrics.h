// `GET /metrics`: everything that is counted, as one text. Labels are names of models, states, phases, verbs,
// codes: sets that clients cannot make larger.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "admin/server.h"
#include "admin/status_log.h"
#include "http/event_metrics.h"
#include "http/exposition.h"
#include "protocol/answer.h"

namespace ggufd::http {

inline constexpr std::string_view metrics_type = "text/plain; version=0.0.4; charset=utf-8";

// Pages by path and status; paths that there are not are "other".
using PageCounts = std::map<std::pair<std::string, unsigned>, std::uint64_t>;

// Where the numbers come from.
struct MetricsSources {
  const answer::Status& status;
  const EventMetrics& events;
  const Histogram& turn_seconds;
  const std::map<admin::RequestOutcome, std::uint64_t>& answers;
  const PageCounts& pages;
  std::uint64_t lagged_readers = 0;
  std::uint64_t event_streams = 0;
  std::int64_t started_unix_s = 0;
};

std::string metrics_text(const MetricsSources& sources);

}  // namespace ggufd::http
