#include "doctor/sources.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>

#include "doctor/group.h"
#include "memory/budget.h"

namespace ggufd::doctor {
namespace {

std::string advice_of(const fetch::Failure& failure) {
  switch (failure.error.code) {
    case ErrorCode::tls:
      return "compare the clock, and the certificates of fetch.ca_file or the system, with the server's";
    case ErrorCode::network:
      return "look at the network, the proxy and the server's name";
    case ErrorCode::http_status:
      return "correct the source, or give the token that it asks for";
    default:
      return "correct the source";
  }
}

void judge_source(const AskedSource& asked, const config::ModelConfig& model, Group& group) {
  const std::string where = to_string(asked.source);
  if (!asked.answer)
    return group.fail(asked.model, asked.answer.error().error.message, advice_of(asked.answer.error()));
  const SourceAnswer& answer = *asked.answer;
  const auto size_bytes = answer.file.size_bytes ? answer.file.size_bytes : answer.total_bytes;
  if (!asked.is_split && size_bytes && model.size_bytes && *size_bytes != *model.size_bytes) {
    return group.fail(
        asked.model,
        fmt::format("{} has {} bytes, and size_bytes says {}", where, *size_bytes, *model.size_bytes),
        "correct size_bytes, or name the file that is meant");
  }
  if (answer.file.sha256 && !model.sha256.empty() && model.sha256.front() != answer.file.sha256->to_hex()) {
    return group.fail(asked.model,
                      fmt::format("{} publishes the SHA-256 {}, and sha256 says {}", where,
                                  answer.file.sha256->to_hex(), model.sha256.front()),
                      "correct sha256, or name the revision that is meant");
  }
  std::string found = where;
  found += size_bytes ? ", " + memory::amount(*size_bytes) : ", of unknown size";
  found += answer.file.sha256 ? ", publishes its SHA-256" : ", publishes no SHA-256";
  if (!answer.has_ranges) {
    return group.warn(asked.model,
                      found + "; it has no ranges: one connection, and no going on after a break",
                      "name a mirror that serves ranges");
  }
  if (model.sha256.empty() && !answer.file.sha256) {
    return group.warn(asked.model, found + ": the first bytes that come will be believed",
                      "give sha256, as the publisher tells it");
  }
  group.ok(asked.model, found + ", serves ranges");
}

void judge_clock(const std::vector<AskedSource>& asked, Timestamp now, Group& group) {
  constexpr std::int64_t minute_s = 60;
  constexpr std::int64_t day_s = 86'400;
  std::optional<std::int64_t> least;
  for (const AskedSource& source : asked) {
    if (!source.answer || !source.answer->date_s) continue;
    const std::int64_t skew_s = std::abs(*source.answer->date_s - now.ms / 1000);
    least = std::min(least.value_or(skew_s), skew_s);
  }
  if (!least) return group.skip("clock", "no server has told the time");
  const std::string found = fmt::format("{} s from what the servers say", *least);
  constexpr const char* advice = "set it, for example with timedatectl set-ntp true";
  if (*least >= day_s) {
    group.fail("clock", found + ": certificates look expired, or not yet valid", advice);
  } else if (*least >= minute_s) {
    group.warn("clock", found, advice);
  } else {
    group.ok("clock", found);
  }
}

}  // namespace

void judge_sources(const std::vector<AskedSource>& asked, const config::Config& config, Timestamp now,
                   answer::Doctor& report) {
  Group group(report, "sources");
  if (asked.empty()) return group.skip("sources", "no model comes over the network");
  for (const AskedSource& source : asked) {
    const auto model = std::ranges::find(config.models, source.model, &config::ModelConfig::name);
    if (model != config.models.end()) judge_source(source, *model, group);
  }
  judge_clock(asked, now, group);
}

}  // namespace ggufd::doctor
