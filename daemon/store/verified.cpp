#include "store/verified.h"

#include <fmt/core.h>

namespace ggufd::store {

Judgement judge(const Digest& digest, const VerifiedRecord& record, const StatStamp& now,
                const std::optional<std::string>& measured) {
  if (record.schema_version != 1) {
    return {.reason = fmt::format("its stamp has the unknown schema_version {}", record.schema_version)};
  }
  if (Digest::parse(record.sha256) != digest) return {.reason = "its stamp is for another digest"};
  if (record.size_bytes != now.size_bytes) return {.reason = "its size is not the one that was verified"};
  if (record.fs_verity && record.fs_verity == measured) {
    return {.needs_hash = false, .integrity = Integrity::kernel_enforced, .reason = ""};
  }
  const std::string difference = first_difference(record.stat, now);
  if (!difference.empty())
    return {.reason = fmt::format("its {} is not the one that was verified", difference)};
  return {.needs_hash = false, .integrity = Integrity::stat_cached, .reason = ""};
}

}  // namespace ggufd::store
