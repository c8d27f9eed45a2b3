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
  if (attempts_ == 1 && has_ranges_ && !wrong_digest_) return repair(digest);
  quarantine(digest);
}

// --- Repair: what does the source, or another one, say when it is asked again?

void PullRun::repair(const store::Digest& actual) {
  wrong_digest_ = actual;
  const std::size_t witness = request_.sources.size() > 1 ? (mirror_ + 1) % request_.sources.size() : mirror_;
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

// --- What another process has brought

// The blob is here, but nobody vouches for it (docs/store.md): it is hashed first.
void PullRun::hash_found(store::FoundBlob found) {
  const auto blob = std::make_shared<store::FoundBlob>(std::move(found));
  const auto hasher = std::make_shared<store::Sha256>();
  const auto report = [this, blob](std::uint64_t bytes) {
    callbacks_.on_phase(phase::Verify{blob->path, bytes, blob->size_bytes});
  };
  report(0);
  operation_ = loop::offload_slices(
      services_.loop, {.total_bytes = blob->size_bytes},
      [blob, hasher](std::uint64_t offset, std::uint64_t length) {
        return store::hash_slice(blob->fd.get(), offset, length, *hasher, blob->path);
      },
      report,
      [this, blob, hasher](const Result<void>& hashed) {
        operation_.reset();
        if (!hashed) return stop(hashed.error());
        const auto actual = hasher->finish();
        if (!actual) return stop(actual.error());
        const bool is_right = *actual == *digest_;
        on_pool<bool>(
            [store = services_.store, blob, is_right, expected = *digest_,
             actual = *actual]() -> Result<bool> {
              if (is_right) return store.write_stamp(expected, *blob);
              const store::QuarantineEvidence evidence{
                  .reason = "sha256_mismatch", .expected = expected.to_hex(), .actual = actual.to_hex()};
              return map_result(store.quarantine_blob(expected, evidence),
                                [](std::string&&) { return false; });
            },
            [this, blob, is_right](bool) {
              if (!is_right) {
                model_lock_.reset();  // lock() takes it again
                return lock();
              }
              finish({.blob = blob,
                      .digest = *digest_,
                      .size_bytes = blob->size_bytes,
                      .source = request_.sources.front()});
            });
      });
}

// --- The two ends

void PullRun::quarantine(const store::Digest& actual) {
  store::QuarantineEvidence evidence{.url = display_url(remote_->url),
                                     .reason = "sha256_mismatch",
                                     .expected = digest_->to_hex(),
                                     .actual = actual.to_hex()};
  for (const ByteRange& range : differing_) evidence.differing_ranges.push_back({range.begin, range.end});
  const std::string path = partial_->data_path();
  auto partial = std::make_shared<store::Partial>(std::move(*partial_));
  partial_.reset();
  on_pool<std::string>(
      [store = services_.store, partial, evidence] {
        return store.quarantine(std::move(*partial), evidence);
      },
      [this, path, evidence](const std::string& kept) {
        callbacks_.on_phase(phase::Quarantine{path, evidence.expected, evidence.actual, kept});
        if (attempts_ == 2) {
          return stop(
              {ErrorCode::sha256_mismatch,
               fmt::format("{} has the SHA-256 {} and should have {}, also when it is fetched anew; correct "
                           "sha256, or the source",
                           evidence.url, evidence.actual, evidence.expected)});
        }
        ++attempts_;
        // From the preferred source again, as if nothing had been here.
        mirror_ = 0;
        remote_.reset();
        first_error_.reset();
        has_ranges_ = true;
        model_lock_.reset();
        lock();
      });
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
