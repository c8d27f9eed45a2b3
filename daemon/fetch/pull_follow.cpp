// What another process does for the same digest: its download is followed, its blob is taken.
#include <fmt/core.h>

#include <utility>

#include "fetch/curl_error.h"
#include "fetch/pull_run.h"
#include "fetch/pull_run_pool.h"
#include "fetch/source_url.h"
#include "store/hash_slice.h"

namespace ggufd::fetch {
namespace {

// How often another process's download of the same bytes is looked at.
constexpr std::uint64_t follow_interval_ms = 250;

}  // namespace

// --- Its download: the journal tells how far it is.

void PullRun::follow() {
  using Seen = std::optional<Journal>;
  on_pool<Seen>(
      [folder = services_.store.partial_folder(key_)]() -> Result<Seen> { return peek_journal(folder); },
      [this](Seen journal) { followed(journal); });
}

void PullRun::followed(const std::optional<Journal>& journal) {
  when_due_ = [this] { lock(); };
  timer_.start_once(follow_interval_ms);
  // A journal that has gone says nothing new: its download has ended, or begins anew.
  if (!journal && has_followed_) return;
  phase::Download progress{.source_url = display_url(source_url(source(), services_.settings))};
  if (journal) {
    const std::uint64_t bytes = byte_ranges(*journal).size();
    if (bytes < followed_bytes_) {
      warn("download_restarted", fmt::format("another process's download of {} has begun anew", label()));
      followed_rate_ = {};
    }
    followed_bytes_ = bytes;
    followed_rate_.add(services_.loop.now_ms(), bytes);
    progress.total_bytes.value = journal->size_bytes;
    progress.source_url = display_url(journal->url);  // who wrote it may have kept more of it
    progress.bytes_per_second = followed_rate_.bytes_per_second();
    progress.eta_s = followed_rate_.eta_s(journal->size_bytes - bytes);
  }
  // What was there before we came to look is not of our time.
  if (!has_followed_) resumed_bytes_ = followed_bytes_;
  progress.downloaded_bytes = followed_bytes_;
  progress.resumed_bytes = resumed_bytes_;
  has_followed_ = true;
  followed_url_ = progress.source_url;
  callbacks_.on_phase(progress);
}

// It has ended, and it is our turn, with the resumed_bytes_ that it has left.
void PullRun::leave_followed() {
  if (has_followed_ && resumed_bytes_ < followed_bytes_) {
    warn("download_restarted",
         fmt::format("another process's download of {} has ended and has left {} of its {} bytes", label(),
                     resumed_bytes_, followed_bytes_));
  }
  has_followed_ = false;
  followed_bytes_ = 0;
  followed_rate_ = {};
}

// --- Its blob

void PullRun::take_found(store::FoundBlob blob) {
  if (blob.needs_hash) return hash_found(std::move(blob));
  const std::uint64_t size_bytes = blob.size_bytes;
  // Whoever saw another process's download sees its end, too.
  if (has_followed_) {
    phase::Download all{
        .downloaded_bytes = size_bytes, .source_url = followed_url_, .resumed_bytes = resumed_bytes_};
    all.total_bytes.value = size_bytes;
    callbacks_.on_phase(all);
    callbacks_.on_phase(phase::Verify{blob.path, size_bytes, size_bytes});
  }
  finish({.blob = std::make_shared<store::FoundBlob>(std::move(blob)),
          .digest = *digest_,
          .size_bytes = size_bytes,
          .source = request_.sources.front()});
}

// Nobody vouches for it (docs/store.md): it is hashed first.
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
        judge_found(blob, *actual);
      });
}

void PullRun::judge_found(std::shared_ptr<store::FoundBlob> blob, const store::Digest& actual) {
  if (is_right(actual)) {
    return on_pool<bool>([store = services_.store, blob, actual] { return store.write_stamp(actual, *blob); },
                         [this, blob, actual](bool) {
                           finish({.blob = blob,
                                   .digest = actual,
                                   .size_bytes = blob->size_bytes,
                                   .source = request_.sources.front()});
                         });
  }
  const std::string preferred = display_url(source_url(source(), services_.settings));
  const store::QuarantineEvidence evidence{.url = followed_url_.empty() ? preferred : followed_url_,
                                           .reason = "sha256_mismatch",
                                           .expected = digest_->to_hex(),
                                           .actual = actual.to_hex()};
  on_pool<std::string>(
      [store = services_.store, digest = *digest_, evidence] {
        return store.quarantine_blob(digest, evidence);
      },
      [this, blob, evidence](const std::string& kept) { put_away(blob->path, evidence, kept); });
}

}  // namespace ggufd::fetch
