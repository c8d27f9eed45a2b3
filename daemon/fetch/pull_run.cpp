#include "fetch/pull_run.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "fetch/curl_error.h"
#include "fetch/pull_run_pool.h"
#include "fetch/source_url.h"

namespace ggufd::fetch {
namespace {

// Of a failure of the look at the bytes: whether they are to blame, so that another mirror's may be good.
bool blames_bytes(ErrorCode code) {
  return code == ErrorCode::invalid_gguf || code == ErrorCode::unsupported_gguf;
}

}  // namespace

// What the partial's lock brought.
struct PullRun::Locked {
  std::optional<store::ModelLock> model;
  std::optional<store::Partial> partial;  // nothing: somebody else has it
  std::optional<Journal> journal;
  std::optional<store::FoundBlob> blob;  // the bytes are here by now
};

PullRun::PullRun(FetchServices& services, PullRequest request, PullCallbacks callbacks)
    : services_(services),
      request_(std::move(request)),
      callbacks_(std::move(callbacks)),
      digest_(request_.digest),
      restarts_(std::max(services.settings.retries, 1U)),  // a file that has changed is no failure
      asks_(services.settings.retries),
      timer_(services.loop, [this] { std::exchange(when_due_, nullptr)(); }) {
  services_.loop.at_end_of_turn([this, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    if (digest_) {
      key_ = *digest_;
      return lock();
    }
    ask_for_digest();
  });
}

// --- The digest, where nobody has given it

void PullRun::ask_for_digest() {
  ask(
      mirror_, true,
      [this](RemoteFile remote) {
        digest_ = remote.sha256;
        remote_ = std::move(remote);
        const auto key = digest_ ? Result<store::Digest>(*digest_)
                                 : store::sha256_of(config::to_string(request_.sources.front()));
        if (!key) return stop(key.error());
        key_ = *key;
        lock();
      },
      [this](Error error) {
        if (!first_error_) first_error_ = std::move(error);
        if (next_mirror() == first_mirror_) return stop(std::move(*first_error_));
        mirror_ = next_mirror();
        ask_for_digest();
      });
}

// One question after the other until there is an answer or a judgement.
void PullRun::ask(std::size_t mirror, bool ask_for_digest, std::function<void(RemoteFile)> then,
                  std::function<void(Error)> otherwise) {
  operation_ = std::make_unique<Resolve>(
      services_.loop, services_.curl, request_.sources[mirror], services_.settings, services_.hub,
      ask_for_digest, [=, this](std::expected<RemoteFile, Failure> answer) {
        operation_.reset();
        if (answer) {
          asks_.progressed();
          return then(std::move(*answer));
        }
        Failure& failure = answer.error();
        const auto wait_ms = failure.is_passing ? asks_.failed(failure.wait_ms) : std::nullopt;
        if (!wait_ms) return otherwise(std::move(failure.error));
        spdlog::warn("{}: {}; asking again in {} ms", label(), failure.error.message, *wait_ms);
        when_due_ = [=, this] { ask(mirror, ask_for_digest, then, otherwise); };
        timer_.start_once(*wait_ms);
      });
}

// --- Whose turn it is

void PullRun::lock() {
  on_pool<Locked>(
      [store = services_.store, key = key_, digest = digest_, name = request_.name]() -> Result<Locked> {
        auto model = store::ModelLock::try_lock(store.root(), name);
        if (!model) return std::unexpected(model.error());
        if (!*model) return Locked{};
        auto partial = store.open_partial(key);
        if (!partial && partial.error().code == ErrorCode::busy) return Locked{};
        if (!partial) return std::unexpected(partial.error());
        Locked locked{.model = std::move(*model)};
        // Whoever held it before may have brought the blob.
        if (digest) {
          auto blob = store.find(*digest);
          if (!blob) return std::unexpected(blob.error());
          locked.blob = std::move(*blob);
        }
        if (locked.blob) {
          static_cast<void>(std::move(*partial).discard());  // what cannot be removed is untidy, no more
          return locked;
        }
        auto journal = read_journal(*partial);
        if (!journal) return std::unexpected(journal.error());
        locked.journal = std::move(*journal);
        locked.partial = std::move(*partial);
        return locked;
      },
      [this](Locked locked) { this->locked(std::move(locked)); });
}

void PullRun::locked(Locked locked) {
  if (locked.blob) {
    if (locked.blob->needs_hash) model_lock_ = std::move(locked.model);
    return take_found(std::move(*locked.blob));
  }
  if (!locked.partial) return follow();
  model_lock_ = std::move(locked.model);
  partial_ = std::make_shared<store::Partial>(std::move(*locked.partial));
  begin_partial(std::move(locked.journal));
}

void PullRun::begin_partial(std::optional<Journal> journal) {
  journal_ = std::move(journal);
  if (journal_ && journal_->finished.empty()) journal_.reset();
  if (journal_ && request_.size_bytes.value_or(journal_->size_bytes) != journal_->size_bytes)
    journal_.reset();
  resumed_bytes_ = journal_ ? byte_ranges(*journal_).size() : 0;
  leave_followed();
  phase::Download progress{.downloaded_bytes = resumed_bytes_,
                           .source_url = display_url(source_url(source(), services_.settings)),
                           .resumed_bytes = resumed_bytes_};
  progress.total_bytes.value = journal_ ? std::optional(journal_->size_bytes) : request_.size_bytes;
  callbacks_.on_phase(progress);
  if (!journal_) return reset_partial_then([this] { resolve(); });
  resolve();
}

// --- The mirror

void PullRun::resolve() {
  if (remote_) return resolved(*std::exchange(remote_, std::nullopt));
  ask(
      mirror_, !digest_, [this](RemoteFile remote) { resolved(std::move(remote)); },
      [this](Error error) { mirror_failed(std::move(error)); });
}

void PullRun::resolved(RemoteFile remote) {
  const std::string shown = display_url(remote.url);
  if (digest_ && remote.sha256 && *remote.sha256 != *digest_) {
    return mirror_failed(
        {ErrorCode::sha256_mismatch,
         fmt::format("{} publishes the SHA-256 {} and {} is required; {}", shown, remote.sha256->to_hex(),
                     digest_->to_hex(),
                     digest_remedy("correct sha256, or pin the revision that it belongs to"))});
  }
  if (request_.size_bytes && remote.size_bytes && *request_.size_bytes != *remote.size_bytes) {
    return mirror_failed(
        {ErrorCode::size_mismatch,
         fmt::format("{} has {} bytes and {} are expected; correct size_bytes, or the source", shown,
                     *remote.size_bytes, *request_.size_bytes)});
  }
  // The first mirror that publishes one binds the others.
  if (!digest_) digest_ = remote.sha256;
  remote_ = std::move(remote);
  download();
}

// The next one goes on with what has arrived; after the last the first one's error counts, which is the
// preferred source's.
void PullRun::mirror_failed(Error error) {
  remote_.reset();
  if (!first_error_) first_error_ = error;
  if (next_mirror() == first_mirror_) return stop(std::move(*first_error_));
  mirror_ = next_mirror();
  spdlog::warn("{}: {}; trying the next source, {}", label(), error.message, config::to_string(source()));
  has_ranges_ = true;
  resolve();
}

// --- The bytes

// The object that the partial's bytes belong to, as far as this mirror can be held to it; an empty one where
// they are of no use.
Identity PullRun::identity_to_continue(const RemoteFile& remote) const {
  Identity identity{
      .etag = journal_->etag, .last_modified = journal_->last_modified, .size_bytes = journal_->size_bytes};
  const bool is_same_place =
      journal_->url == display_url(remote.url) && journal_->revision == remote.revision;
  if (is_same_place && (digest_ || identity.etag || identity.last_modified)) return identity;
  // Another place with the same bytes, if their digest says so in the end.
  if (digest_) return {.size_bytes = identity.size_bytes};
  return {};
}

void PullRun::download() {
  const Identity bound = journal_ ? identity_to_continue(*remote_) : Identity{};
  // Without a journal nobody knows what an earlier mirror's bytes belong to.
  const bool is_useless =
      journal_ ? !bound.size_bytes || !has_ranges_ : writer_ && writer_->accepted().size() > 0;
  if (is_useless) {
    warn("download_restarted",
         fmt::format("{} begins anew: nothing says that what is here of it belongs to {}", label(),
                     display_url(remote_->url)));
    return reset_partial_then([this] { download(); });
  }
  if (!writer_) {
    writer_ = std::make_unique<FileWriter>(services_.loop, partial_,
                                           journal_ ? byte_ranges(*journal_) : ByteRanges(),
                                           [this](Error error) { stop(std::move(error)); });
  }
  DownloadRequest request = download_request(*remote_, bound, has_ranges_);
  request.inspect = request_.inspect;
  request.inspect_fd = partial_->fd();
  request.keeper = partial_;
  request.resumed_bytes = resumed_bytes_;
  DownloadCallbacks callbacks = download_callbacks(
      [this](std::expected<DownloadEnd, DownloadFailure> result) { downloaded(std::move(result)); });
  callbacks.on_bound = [this](const Identity& identity) { this->bound(identity); };
  download_ = std::make_unique<Download>(services_.loop, services_.curl, services_.rate_limit, *writer_,
                                         std::move(request), std::move(callbacks));
  callbacks_.on_phase(download_->progress());
}

DownloadRequest PullRun::download_request(RemoteFile remote, Identity bound, bool has_ranges) const {
  DownloadRequest request;
  request.remote = std::move(remote);
  request.settings = services_.settings;
  request.size_bytes = request_.size_bytes;
  request.bound = std::move(bound);
  request.has_ranges = has_ranges;
  request.is_digest_known = digest_.has_value();
  return request;
}

DownloadCallbacks PullRun::download_callbacks(
    std::move_only_function<void(std::expected<DownloadEnd, DownloadFailure>)> on_done) {
  return {
      .on_progress =
          [this] {
            if (download_) callbacks_.on_phase(download_->progress());
          },
      .on_bound = [](const Identity&) {},
      .on_warning = [this](const std::string& code, const std::string& message) { warn(code, message); },
      .on_note = [this](const std::string& note) { spdlog::warn("{}: {}", label(), note); },
      .on_done =
          [this, on_done = std::move(on_done)](std::expected<DownloadEnd, DownloadFailure> result) mutable {
            // The download is calling: it is destroyed when the turn ends, not under its own feet.
            services_.loop.at_end_of_turn([ended = std::shared_ptr<Download>(std::move(download_))] {});
            on_done(std::move(result));
          }};
}

// Without a size there is nothing to reserve, and without ranges nothing to resume.
void PullRun::bound(const Identity& identity) {
  if (!identity.size_bytes) return;
  writer_->reserve(*identity.size_bytes);
  // What was here stays synced: had it been of another object, the partial would have been emptied.
  auto synced = journal_ ? std::move(journal_->synced) : std::nullopt;
  journal_ = Journal{.url = display_url(remote_->url),
                     .revision = remote_->revision,
                     .etag = identity.etag,
                     .last_modified = identity.last_modified,
                     .size_bytes = *identity.size_bytes,
                     .finished = {},
                     .boot_id = {},
                     .synced = std::move(synced)};
  const std::uint64_t at_stake = services_.settings.segment_bytes * services_.settings.connections;
  writer_->keep_journal(*journal_, at_stake / 4);
}

void PullRun::downloaded(std::expected<DownloadEnd, DownloadFailure> result) {
  if (result) return complete(*result);
  DownloadFailure& failure = result.error();
  if (failure.must_restart) return restart(std::move(failure));
  Error& error = failure.failure.error;
  if (failure.are_bytes_wrong || (failure.is_refused && blames_bytes(error.code)))
    return bytes_refused(std::move(error));
  if (failure.is_refused || error.code == ErrorCode::cancelled) return stop(std::move(error));
  mirror_failed(std::move(error));
}

// What it has sent is of no use to anybody, the next load included.
void PullRun::bytes_refused(Error error) {
  if (next_mirror() != first_mirror_) {
    warn("download_restarted",
         fmt::format("{} begins anew, from {}: {}", label(),
                     config::to_string(request_.sources[next_mirror()]), error.message));
  }
  reset_partial_then([this, error = std::move(error)] { mirror_failed(error); });
}

void PullRun::restart(DownloadFailure failure) {
  const auto wait_ms = restarts_.failed(failure.failure.wait_ms);
  if (!wait_ms) return mirror_failed(std::move(failure.failure.error));
  has_ranges_ = failure.has_ranges;
  warn("download_restarted", fmt::format("{} begins anew: {}", label(), failure.failure.error.message));
  // A passing failure has to pass first; what has changed can be asked for at once.
  const std::uint64_t pause_ms = failure.failure.is_passing ? *wait_ms : 0;
  reset_partial_then([this, pause_ms] {
    when_due_ = [this] { resolve(); };
    timer_.start_once(pause_ms);
  });
}

// Empties the partial once nobody writes to it any more.
void PullRun::reset_partial_then(std::function<void()> then) {
  journal_.reset();
  resumed_bytes_ = 0;
  if (writer_) {
    return writer_->abandon([this, then = std::move(then)] {
      services_.loop.at_end_of_turn([ended = std::shared_ptr<FileWriter>(std::move(writer_))] {});
      reset_partial_then(then);
    });
  }
  on_pool<bool>(
      [partial = partial_]() -> Result<bool> {
        if (auto emptied = reset_partial(*partial); !emptied) return std::unexpected(emptied.error());
        return true;
      },
      [then = std::move(then)](bool) { then(); });
}

// --- Words

std::string PullRun::label() const {
  return request_.name;
}

// What to do where the source has other bytes than the digest says, by who has said it.
std::string PullRun::digest_remedy(std::string_view where_configured) const {
  if (!request_.digest) return "the source itself publishes it; try again later, or take another source";
  if (!request_.is_digest_pinned) return std::string(where_configured);
  return fmt::format(
      "it was pinned when {} was first fetched; if the new file is wanted, `ggufctl rm {}` forgets the pin, "
      "then load it again",
      request_.name, request_.name);
}

void PullRun::warn(const std::string& code, const std::string& message) {
  callbacks_.on_warning(code, message);
}

}  // namespace ggufd::fetch
