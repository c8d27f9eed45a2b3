// The second half of a pull: what the complete file is worth, and what becomes of it.
#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "fetch/curl_error.h"
#include "fetch/pull_run.h"
#include "fetch/pull_run_pool.h"
#include "store/hash_slice.h"

namespace ggufd::fetch {
namespace {

// How many differing ranges a sentence names.
constexpr std::size_t named_ranges = 4;

std::string ranges_in_words(const std::vector<ByteRange>& ranges) {
  std::string words;
  for (std::size_t i = 0; i < std::min(ranges.size(), named_ranges); ++i)
    words += fmt::format("{}{}-{}", i == 0 ? "" : ", ", ranges[i].begin, ranges[i].end - 1);
  if (ranges.size() > named_ranges) words += fmt::format(" and {} more", ranges.size() - named_ranges);
  return words;
}

}  // namespace

void PullRun::complete(const DownloadEnd& end) {
  identity_ = end.identity;
  has_ranges_ = end.has_ranges;
  differing_.clear();
  writer_->finish(*identity_.size_bytes, [this](const store::Digest& digest) {
    services_.loop.at_end_of_turn([ended = std::shared_ptr<FileWriter>(std::move(writer_))] {});
    const std::uint64_t size_bytes = *identity_.size_bytes;
    callbacks_.on_phase(phase::Verify{partial_->data_path(), size_bytes, size_bytes});
    judge(digest);
  });
}

void PullRun::judge(const store::Digest& digest) {
  if (is_right(digest)) return commit(digest);
  // A second file from the start is evidence enough against the source.
  if (has_ranges_ && !wrong_digest_) return repair(digest);
  quarantine(digest);
}

// --- Repair: what does the source, or another one, say when it is asked again?

void PullRun::repair(const store::Digest& actual) {
  wrong_digest_ = actual;
  const std::size_t witness = next_mirror();
  warn("repairing",
       fmt::format(
           "{} has the SHA-256 {} and should have {}: its segments are fetched again from {} and compared",
           label(), actual.to_hex(), digest_->to_hex(), config::to_string(request_.sources[witness])));
  if (witness == mirror_) return compare(*remote_);
  ask(
      witness, false, [this](RemoteFile remote) { compare(std::move(remote)); },
      [this](const Error& error) {
        spdlog::warn("{}: {}; the same source is asked again", label(), error.message);
        compare(*remote_);
      });
}

void PullRun::compare(RemoteFile remote) {
  comparison_ =
      std::make_unique<Comparison>(services_.loop, partial_, [this](Error error) { stop(std::move(error)); });
  DownloadRequest request = download_request(std::move(remote), {}, true);
  request.size_bytes = identity_.size_bytes;
  download_ = std::make_unique<Download>(
      services_.loop, services_.curl, services_.rate_limit, *comparison_, std::move(request),
      download_callbacks([this](std::expected<DownloadEnd, DownloadFailure> result) {
        if (!result) {
          Error& error = result.error().failure.error;
          if (error.code == ErrorCode::cancelled) return stop(std::move(error));
          spdlog::warn("{}: it can't be compared: {}", label(), error.message);
          return comparison_->abandon([this] {
            services_.loop.at_end_of_turn([ended = std::shared_ptr<Comparison>(std::move(comparison_))] {});
            quarantine(*wrong_digest_);
          });
        }
        comparison_->replace([this](const std::vector<ByteRange>& ranges) { replaced(ranges); });
      }));
  callbacks_.on_phase(download_->progress());
}

void PullRun::replaced(const std::vector<ByteRange>& ranges) {
  services_.loop.at_end_of_turn([ended = std::shared_ptr<Comparison>(std::move(comparison_))] {});
  differing_ = ranges;
  if (ranges.empty()) {
    spdlog::warn("{}: the source sends the same bytes again", label());
    return quarantine(*wrong_digest_);
  }
  warn("repaired", fmt::format("{}: bytes {} differed when they were fetched again, and were replaced",
                               label(), ranges_in_words(ranges)));
  rehash();
}

void PullRun::rehash() {
  const std::uint64_t size_bytes = *identity_.size_bytes;
  const auto hasher = std::make_shared<store::Sha256>();
  const auto report = [this, size_bytes](std::uint64_t bytes) {
    callbacks_.on_phase(phase::Verify{partial_->data_path(), bytes, size_bytes});
  };
  report(0);
  operation_ = loop::offload_slices(
      services_.loop, {.total_bytes = size_bytes},
      [partial = partial_, hasher](std::uint64_t offset, std::uint64_t length) {
        return store::hash_slice(partial->fd(), offset, length, *hasher, partial->data_path());
      },
      report,
      [this, hasher](const Result<void>& hashed) {
        operation_.reset();
        if (!hashed) return stop(hashed.error());
        const auto digest = hasher->finish();
        if (!digest) return stop(digest.error());
        judge(*digest);
      });
}

// --- The two ends

void PullRun::quarantine(const store::Digest& actual) {
  wrong_digest_ = actual;
  store::QuarantineEvidence evidence{.url = display_url(remote_->url),
                                     .reason = "sha256_mismatch",
                                     .expected = digest_->to_hex(),
                                     .actual = actual.to_hex()};
  for (const ByteRange& range : differing_) evidence.differing_ranges.push_back({range.begin, range.end});
  const std::string path = partial_->data_path();
  auto partial = std::make_shared<store::Partial>(std::move(*partial_));
  partial_.reset();
  on_pool<std::string>([store = services_.store, partial,
                        evidence] { return store.quarantine(std::move(*partial), evidence); },
                       [this, path, evidence](const std::string& kept) {
                         // The others are as good as the one that has sent this, or better.
                         mirror_ = first_mirror_ = next_mirror();
                         put_away(path, evidence, kept);
                       });
}

// One fresh download follows, as if nothing had been here; after that it is the error.
void PullRun::put_away(const std::string& path, const store::QuarantineEvidence& evidence,
                       const std::string& kept) {
  callbacks_.on_phase(phase::Quarantine{path, evidence.expected, evidence.actual, kept});
  if (put_away_url_) return stop(wrong_digest(evidence));
  put_away_url_ = evidence.url;
  remote_.reset();
  first_error_.reset();
  identity_ = {};
  has_ranges_ = true;
  has_followed_ = false;  // progress may go back here without another word
  followed_bytes_ = 0;
  model_lock_.reset();
  lock();
}

Error PullRun::wrong_digest(const store::QuarantineEvidence& evidence) const {
  const std::string before = *put_away_url_ == evidence.url
                                 ? ", also when it is fetched anew"
                                 : fmt::format(", and what {} had was wrong, too", *put_away_url_);
  return {ErrorCode::sha256_mismatch,
          fmt::format("{} has the SHA-256 {} and should have {}{}; {}", evidence.url, evidence.actual,
                      evidence.expected, before, digest_remedy("correct sha256, or the source"))};
}

void PullRun::commit(const store::Digest& digest) {
  auto partial = std::make_shared<store::Partial>(std::move(*partial_));
  partial_.reset();
  using Blob = std::shared_ptr<store::FoundBlob>;
  on_pool<Blob>(
      [store = services_.store, partial, digest, size_bytes = *identity_.size_bytes,
       url = display_url(remote_->url)]() -> Result<Blob> {
        return map_result(
            store.commit(std::move(*partial), digest, size_bytes, url),
            [](store::FoundBlob&& blob) { return std::make_shared<store::FoundBlob>(std::move(blob)); });
      },
      [this, digest](Blob blob) {
        finish({.blob = std::move(blob),
                .digest = digest,
                .size_bytes = *identity_.size_bytes,
                .source = source(),
                .revision = remote_->revision,
                .was_fetched = true});
      });
}

}  // namespace ggufd::fetch
