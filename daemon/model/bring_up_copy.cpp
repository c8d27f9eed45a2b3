// The first half of a bring-up: a copy of the bytes that is known to be good. It is here, or it is fetched, or hashed.
#include <fmt/core.h>

#include <utility>

#include "fetch/curl_error.h"
#include "fetch/source_url.h"
#include "model/bring_up.h"
#include "model/bring_up_pool.h"
#include "store/model_lock.h"

namespace ggufd::model {
namespace {

// How often it is looked whether another process's download of the same bytes has ended.
constexpr std::uint64_t other_download_interval_ms = 250;

}  // namespace


// --- Is it here?

void BringUp::check_local() {
  callbacks_.on_phase(phase::CheckingLocal{path_to_check(services_.store, model_)});
  struct Look {
    Expectation expectation;
    std::optional<LocalCopy> copy;
  };
  on_pool<Look>(
      [store = services_.store, model = model_]() -> Result<Look> {
        auto expectation = expectation_of(store, model);
        if (!expectation) return std::unexpected(expectation.error());
        auto copy = find_local_copy(store, model, expectation->digest);
        if (!copy) return std::unexpected(copy.error());
        return Look{std::move(*expectation), std::move(*copy)};
      },
      [this](Look look) {
        expectation_ = std::move(look.expectation);
        found_local(std::move(look.copy));
      });
}

void BringUp::found_local(std::optional<LocalCopy> copy) {
  copy_ = copy ? std::make_shared<LocalCopy>(std::move(*copy)) : nullptr;
  if (copy_ && copy_->needs_hash) return go_to(&BringUp::verify);
  if (copy_) return identified();
  if (services_.config.auto_pull) return advance();
  stop({ErrorCode::not_in_store,
        fmt::format("{} is not in the store {} and auto_pull is off; fetch it with `ggufctl pull {}`",
                    model_.name, services_.store.root(), model_.name)});
}

// What is known good goes on to be mapped, if it is what was asked for.
void BringUp::identified() {
  if (expectation_.digest && copy_->digest != expectation_.digest) {
    return stop(
        {ErrorCode::sha256_mismatch,
         fmt::format(
             "{} has the SHA-256 {} and should have {}; the file is left as it is: replace it, or correct "
             "the model's sha256",
             copy_->path, copy_->digest->to_hex(), expectation_.digest->to_hex())});
  }
  callbacks_.on_identified(*copy_->digest, copy_->size_bytes);
  go_to(&BringUp::map);
}

// --- Fetch it.

void BringUp::download() {
  if (is_cancelled_) return stop(fail(ErrorCode::cancelled, "").error());
  // The model's lock and the partial's: one fetches, whoever else wants the same waits for what it brings.
  struct Locked {
    std::optional<store::ModelLock> lock;
    std::optional<store::Partial> partial;  // nothing: somebody else has it
    bool is_here_now = false;
  };
  on_pool<Locked>(
      [store = services_.store, key = expectation_.partial_key, model = model_]() -> Result<Locked> {
        auto lock = store::ModelLock::try_lock(store.root(), model.name);
        if (!lock) return std::unexpected(lock.error());
        if (!*lock) return Locked{};
        auto partial = store.open_partial(key);
        if (!partial && partial.error().code == ErrorCode::busy) return Locked{};
        if (!partial) return std::unexpected(partial.error());
        Locked locked{std::move(*lock), std::move(*partial)};
        // Whoever held it before may have brought the blob, and said in the manifest which one it is.
        const auto expectation = expectation_of(store, model);
        if (!expectation) return std::unexpected(expectation.error());
        if (!expectation->digest) return locked;
        auto blob = store.find(*expectation->digest);
        if (!blob) return std::unexpected(blob.error());
        locked.is_here_now = blob->has_value();
        if (locked.is_here_now) {
          auto discarded = std::move(*locked.partial).discard();
          if (!discarded) return std::unexpected(discarded.error());
        }
        return locked;
      },
      [this](Locked locked) {
        if (!locked.partial) return wait_.start_once(other_download_interval_ms);
        if (locked.is_here_now) return go_to(&BringUp::check_local);
        download_lock_ = std::move(locked.lock);
        fetch_into(std::move(*locked.partial));
      });
}

void BringUp::fetch_into(store::Partial partial) {
  if (is_cancelled_) return stop(fail(ErrorCode::cancelled, "").error());
  auto download = std::make_unique<fetch::Download>(
      services_.loop, services_.curl,
      fetch::DownloadRequest{.url = fetch::source_url(model_.sources.front(), services_.config.fetch),
                             .size_bytes = model_.size_bytes,
                             .settings = services_.config.fetch},
      std::move(partial),
      fetch::DownloadCallbacks{
          .on_progress =
              [this] { callbacks_.on_phase(static_cast<fetch::Download&>(*operation_).progress()); },
          .on_done =
              [this](Result<fetch::Downloaded> result) {
                if (!result) return stop(std::move(result.error()));
                downloaded_ = std::move(*result);
                advance();
              }});
  callbacks_.on_phase(download->progress());
  begin(std::move(download));
}

void BringUp::keep_download() {
  const std::string path = downloaded_->partial.data_path();
  const store::Digest digest = downloaded_->digest;
  const std::uint64_t size_bytes = downloaded_->size_bytes;
  const std::string url =
      fetch::display_url(fetch::source_url(model_.sources.front(), services_.config.fetch));
  auto partial = std::make_shared<store::Partial>(std::move(downloaded_->partial));
  downloaded_.reset();
  callbacks_.on_phase(phase::Verify{path, size_bytes, size_bytes});
  if (expectation_.digest && digest != *expectation_.digest) {
    const store::QuarantineEvidence evidence{url, "sha256_mismatch", expectation_.digest->to_hex(),
                                             digest.to_hex()};
    return on_pool<phase::Quarantine>(
        [store = services_.store, partial, evidence, path]() -> Result<phase::Quarantine> {
          return map_result(store.quarantine(std::move(*partial), evidence), [&](std::string&& kept) {
            return phase::Quarantine{path, evidence.expected, evidence.actual, std::move(kept)};
          });
        },
        [this](phase::Quarantine done) { quarantined(std::move(done)); });
  }
  on_pool<LocalCopy>(
      [store = services_.store, model = model_, partial, digest, size_bytes, url]() -> Result<LocalCopy> {
        auto blob = store.commit(std::move(*partial), digest, size_bytes, url);
        if (!blob) return std::unexpected(blob.error());
        if (auto recorded = record_manifest(store, model, digest, size_bytes); !recorded) {
          return std::unexpected(recorded.error());
        }
        return local_copy_of(std::move(*blob), digest);
      },
      [this](LocalCopy copy) {
        download_lock_.reset();
        // The blob is good, only its stamp could not be written: the next start will hash it.
        if (const std::string& reason = copy.blob->reason; !reason.empty()) {
          callbacks_.on_warning("not_stamped", fmt::format("{}: {}", copy.path, reason));
        }
        found_local(std::move(copy));
      });
}

void BringUp::quarantined(phase::Quarantine evidence) {
  download_lock_.reset();
  callbacks_.on_phase(evidence);
  // With auto_pull off nothing is fetched: the look at what is here says so.
  if (!services_.config.auto_pull) return go_to(&BringUp::check_local);
  if (!std::exchange(has_quarantined_, true)) return go_to(&BringUp::download);
  stop({ErrorCode::sha256_mismatch,
        fmt::format(
            "what {} serves has the SHA-256 {} and should have {}, also after a fresh download; correct the "
            "model's sha256 or its source. The bytes are kept in {}",
            config::to_string(model_.sources.front()), evidence.actual_sha256, evidence.expected_sha256,
            evidence.quarantine_path)});
}

// --- Hash what is here.

void BringUp::verify() {
  callbacks_.on_phase(phase::Verify{copy_->path, 0, copy_->size_bytes});
  const auto hasher = std::make_shared<store::Sha256>();
  in_slices(
      {.total_bytes = copy_->size_bytes},
      [hasher, copy = copy_](std::uint64_t offset, std::uint64_t length) {
        return hash_slice(copy->fd(), offset, length, *hasher, copy->path);
      },
      [this](std::uint64_t bytes) {
        callbacks_.on_phase(phase::Verify{copy_->path, bytes, copy_->size_bytes});
      },
      [this, hasher] {
        const auto digest = hasher->finish();
        if (!digest) return stop(digest.error());
        verified(*digest);
      });
}

void BringUp::verified(const store::Digest& digest) {
  const bool is_bad_blob = !copy_->is_in_place() && digest != *expectation_.digest;
  if (is_bad_blob) {
    const store::QuarantineEvidence evidence{"", "sha256_mismatch", expectation_.digest->to_hex(),
                                             digest.to_hex()};
    return on_pool<phase::Quarantine>(
        [store = services_.store, evidence, expected = *expectation_.digest,
         path = copy_->path]() -> Result<phase::Quarantine> {
          return map_result(store.quarantine_blob(expected, evidence), [&](std::string&& kept) {
            return phase::Quarantine{path, evidence.expected, evidence.actual, std::move(kept)};
          });
        },
        [this](phase::Quarantine done) {
          copy_.reset();
          quarantined(std::move(done));
        });
  }
  on_pool<LocalCopy>(
      [store = services_.store, copy = std::move(copy_), digest]() -> Result<LocalCopy> {
        if (auto recorded = record_hash(store, *copy, digest); !recorded)
          return std::unexpected(recorded.error());
        return std::move(*copy);
      },
      [this](LocalCopy recorded) {
        if (!recorded.not_stamped.empty()) callbacks_.on_warning("not_stamped", recorded.not_stamped);
        found_local(std::move(recorded));
      });
}

}  // namespace ggufd::model
