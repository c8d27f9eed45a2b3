#include "model/blob_check.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

namespace ggufd::model {
namespace {

Error changed_meanwhile(const std::string& path) {
  return {ErrorCode::io, fmt::format("{} was changed while it was hashed; verify it again", path)};
}

Result<std::optional<BadBlob>> record_good(const store::BlobStore& store, const store::Digest& digest,
                                           store::FoundBlob& blob) {
  const auto stamped = store.write_stamp(digest, blob);
  if (stamped && !*stamped) return std::unexpected(changed_meanwhile(blob.path));
  // The blob is good all the same, and will be hashed once more.
  if (!stamped) spdlog::warn("{} is good, but has no new stamp: {}", blob.path, stamped.error().message);
  return std::nullopt;
}

// Whether the store's blob of that digest is still the file that was hashed: another process may have
// replaced it.
Result<bool> is_in_place(const store::BlobStore& store, const store::Digest& digest,
                         const store::FoundBlob& blob) {
  const auto now = store.find(digest);
  if (!now) return std::unexpected(now.error());
  return now->has_value() && (*now)->stat.dev == blob.stat.dev && (*now)->stat.ino == blob.stat.ino;
}

}  // namespace

std::string to_string(const BadBlob& bad) {
  return fmt::format("{} has SHA-256 {} instead of {}; it was moved to {}", bad.path, bad.actual.to_hex(),
                     bad.expected.to_hex(), bad.quarantine_path);
}

Result<std::optional<BadBlob>> check_blob(const store::BlobStore& store, const store::Digest& expected,
                                          store::FoundBlob& blob, const store::Digest& actual) {
  if (actual == expected) return record_good(store, expected, blob);
  const auto is_same = is_in_place(store, expected, blob);
  if (!is_same) return std::unexpected(is_same.error());
  if (!*is_same) return std::unexpected(changed_meanwhile(blob.path));
  auto kept = store.quarantine_blob(
      expected,
      {.url = "", .reason = "sha256_mismatch", .expected = expected.to_hex(), .actual = actual.to_hex()});
  if (!kept) return std::unexpected(kept.error());
  return BadBlob{expected, actual, blob.path, std::move(*kept)};
}

}  // namespace ggufd::model
