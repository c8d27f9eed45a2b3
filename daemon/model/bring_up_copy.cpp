// The first half of a bring-up: copies of the bytes that are known to be good. They are here, or fetched, or
// hashed.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "model/bring_up.h"
#include "model/bring_up_pool.h"
#include "model/keep.h"

namespace ggufd::model {
namespace {

// What was pulled, as the bring-up's own copies. One that has to be hashed yet is opened once more: others
// who wait for the same pull would hash it, too.
Result<Copies> copies_of(const store::BlobStore& store,
                         const std::vector<std::optional<fetch::Pulled>>& files, Copies copies) {
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (!files[i]) continue;
    std::shared_ptr<store::FoundBlob> blob = files[i]->blob;
    if (blob->needs_hash) {
      auto own = store.find(files[i]->digest);
      if (!own) return std::unexpected(own.error());
      if (!*own) return fail(ErrorCode::io, fmt::format("{} was removed while it was loaded", blob->path));
      blob = std::make_shared<store::FoundBlob>(std::move(**own));
    }
    copies[i] = std::make_shared<LocalCopy>(local_copy_of(std::move(blob), files[i]->digest));
    const bool is_hashed_now = files[i]->was_fetched && copies[i]->integrity == Integrity::stat_cached;
    if (is_hashed_now && !copies[i]->needs_hash) copies[i]->integrity = Integrity::hashed;
  }
  return copies;
}

}  // namespace

// --- Is it here?

void BringUp::check_local() {
  callbacks_.on_phase(phase::CheckingLocal{path_to_check(services_.store, model_)});
  struct Look {
    std::vector<ModelFile> files;
    std::vector<std::optional<LocalCopy>> copies;
  };
  on_pool<Look>(
      [store = services_.store, model = model_]() -> Result<Look> {
        auto files = model_files(store, model);
        if (!files) return std::unexpected(files.error());
        auto copies = find_local_copies(store, model, *files);
        if (!copies) return std::unexpected(copies.error());
        return Look{std::move(*files), std::move(*copies)};
      },
      [this](Look look) { found(std::move(look.files), std::move(look.copies)); });
}

void BringUp::found(std::vector<ModelFile> files, std::vector<std::optional<LocalCopy>> copies) {
  files_ = std::move(files);
  has_been_put_away_.resize(files_.size());
  copies_.clear();
  for (auto& copy : copies) {
    copies_.push_back(copy ? std::make_shared<LocalCopy>(std::move(*copy)) : nullptr);
  }
  if (std::ranges::find(copies_, nullptr) == copies_.end()) {
    auto checked = check_size(model_, copies_.front()->path, copies_.size(), total_bytes(copies_));
    if (!checked) return stop(std::move(checked.error()));
    return advance();
  }
  if (services_.config.auto_pull) return advance();
  stop({ErrorCode::not_in_store,
        fmt::format("{} is not in the store {} and auto_pull is off; fetch it with `ggufctl pull {}`",
                    model_.name, services_.store.root(), model_.name)});
}

// --- Fetch what is not.

void BringUp::pull() {
  if (std::ranges::find(copies_, nullptr) == copies_.end()) return advance();
  PullFilesRequest request{.model = model_.name,
                           .size_bytes = model_.size_bytes,
                           .settings = services_.config.fetch,
                           .look = {.model = model_.name,
                                    .memory = memory_settings(model_),
                                    .headroom_bytes = services_.config.memory_headroom_bytes}};
  for (std::size_t i = 0; i < files_.size(); ++i) {
    FileToPull& file = request.files.emplace_back(files_[i]);
    if (copies_[i]) file.size_here_bytes = copies_[i]->size_bytes;
    file.was_put_away = has_been_put_away_[i];
  }
  begin(std::make_unique<PullFiles>(
      services_.loop,
      [&pulls = services_.pulls](fetch::PullRequest one, fetch::PullCallbacks callbacks) {
        return pulls.join(std::move(one), std::move(callbacks));
      },
      std::move(request),
      PullFilesCallbacks{
          .on_phase = [this](const LoadPhase& phase) { callbacks_.on_phase(phase); },
          .on_warning = [this](const std::string& code,
                               const std::string& message) { callbacks_.on_warning(code, message); },
          .on_done =
              [this](Result<std::vector<std::optional<fetch::Pulled>>> result) {
                // The operation is calling: it is destroyed when the turn ends, not under its own feet.
                services_.loop.at_end_of_turn([ended = std::move(operation_)] {});
                if (!result) return stop(std::move(result.error()));
                pulled(std::move(*result));
              }}));
}

void BringUp::pulled(std::vector<std::optional<fetch::Pulled>> files) {
  if (files.front()) {
    pulled_from_ = files.front()->source;
    pulled_revision_ = files.front()->revision;
  } else if (!has_pulled_) {
    pulled_from_ = files_.front().network_sources().front();
  }
  // From now on they are what is required.
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (files[i]) files_[i].digest = files[i]->digest;
  }
  has_pulled_ = true;
  has_verified_ = false;
  on_pool<Copies>(
      [store = services_.store, files = std::move(files), copies = copies_] {
        return copies_of(store, files, copies);
      },
      [this](Copies copies) {
        copies_ = std::move(copies);
        for (const auto& copy : copies_) {
          if (copy->needs_hash || copy->is_in_place() || copy->blob->reason.empty()) continue;
          // It is good, only its stamp could not be written: the next start will hash it.
          callbacks_.on_warning("not_stamped", fmt::format("{}: {}", copy->path, copy->blob->reason));
        }
        auto checked = check_size(model_, copies_.front()->path, copies_.size(), total_bytes(copies_));
        if (!checked) return stop(std::move(checked.error()));
        advance();
      });
}

void BringUp::keep() {
  loaded_.path = copies_.front()->path;
  const bool needs_links = is_split() && !copies_.front()->is_in_place();
  if (!has_pulled_ && !needs_links) return advance();
  KeptModel kept{.name = model_.name,
                 .digests = {},
                 .size_bytes = total_bytes(copies_),
                 .source = pulled_from_,
                 .revision = pulled_revision_};
  for (const ModelFile& file : files_) kept.digests.push_back(*file.digest);
  on_pool<std::string>(
      [store = services_.store, kept = std::move(kept), files = files_, path = loaded_.path,
       is_new = has_pulled_, needs_links]() -> Result<std::string> {
        if (auto recorded = is_new ? record_manifest(store, kept) : Result<void>(); !recorded) {
          return std::unexpected(recorded.error());
        }
        return needs_links ? link_files(store, kept.name, files) : path;
      },
      [this](std::string path) {
        loaded_.path = std::move(path);
        advance();
      });
}

// --- Hash what is here.

void BringUp::verify() {
  std::size_t to_hash = copies_.size();
  for (std::size_t i = copies_.size(); i-- > 0;) {
    const LocalCopy& copy = *copies_[i];
    if (copy.needs_hash) {
      to_hash = i;
    } else if (files_[i].digest && copy.digest != files_[i].digest) {
      return stop(
          {ErrorCode::sha256_mismatch, wrong_local_file(model_, copy.path, *copy.digest, *files_[i].digest)});
    }
  }
  if (to_hash < copies_.size()) return hash(to_hash);
  // The pull verified a split model file by file; it is told once, of all.
  const std::uint64_t size_bytes = total_bytes(copies_);
  if (has_pulled_ && is_split() && !has_verified_) {
    callbacks_.on_phase(phase::Verify{loaded_.path, size_bytes, size_bytes});
  }
  callbacks_.on_identified(*copies_.front()->digest, size_bytes);
  advance();
}

// What is fetched has its manifest by now. Local files get theirs once they are known to be a model: one that
// is none may be exchanged for one.
void BringUp::pin() {
  if (!is_pinned_on_first_use(model_) || files_.front().digest) return advance();
  for (std::size_t i = 0; i < files_.size(); ++i) files_[i].digest = copies_[i]->digest;
  on_pool<bool>(
      [store = services_.store, pinned = kept_in_place(model_.name, copies_)]() -> Result<bool> {
        if (auto recorded = record_manifest(store, pinned); !recorded)
          return std::unexpected(recorded.error());
        return true;
      },
      [this](bool) { advance(); });
}

// The progress is that of all files: those that need no hash are verified.
void BringUp::hash(std::size_t index) {
  const auto copy = copies_[index];
  std::uint64_t before_bytes = 0;
  for (const auto& other : copies_) before_bytes += other->needs_hash ? 0 : other->size_bytes;
  const auto report = [this, path = copy->path, before_bytes](std::uint64_t bytes) {
    callbacks_.on_phase(phase::Verify{path, before_bytes + bytes, total_bytes(copies_)});
  };
  has_verified_ = true;
  report(0);
  const auto hasher = std::make_shared<store::Sha256>();
  in_slices(
      {.total_bytes = copy->size_bytes},
      [hasher, copy](std::uint64_t offset, std::uint64_t length) {
        return store::hash_slice(copy->fd(), offset, length, *hasher, copy->path);
      },
      report,
      [this, index, hasher] {
        const auto digest = hasher->finish();
        if (!digest) return stop(digest.error());
        hashed(index, *digest);
      });
}

void BringUp::hashed(std::size_t index, const store::Digest& digest) {
  const bool is_bad_blob = !copies_[index]->is_in_place() && digest != *files_[index].digest;
  if (is_bad_blob) return put_away(index, digest);
  on_pool<std::shared_ptr<LocalCopy>>(
      [store = services_.store, copy = copies_[index], digest]() -> Result<std::shared_ptr<LocalCopy>> {
        if (auto recorded = record_hash(store, *copy, digest); !recorded)
          return std::unexpected(recorded.error());
        return copy;
      },
      [this](const std::shared_ptr<LocalCopy>& recorded) {
        const LocalCopy& copy = *recorded;
        if (!copy.not_stamped.empty()) callbacks_.on_warning("not_stamped", copy.not_stamped);
        go_to(&BringUp::verify);
      });
}

void BringUp::put_away(std::size_t index, const store::Digest& actual) {
  const store::Digest expected = *files_[index].digest;
  const store::QuarantineEvidence evidence{"", "sha256_mismatch", expected.to_hex(), actual.to_hex()};
  on_pool<phase::Quarantine>(
      [store = services_.store, evidence, expected,
       path = copies_[index]->path]() -> Result<phase::Quarantine> {
        return map_result(store.quarantine_blob(expected, evidence), [&](std::string&& kept) {
          return phase::Quarantine{path, evidence.expected, evidence.actual, std::move(kept)};
        });
      },
      [this, index](const phase::Quarantine& done) { quarantined(index, done); });
}

void BringUp::quarantined(std::size_t index, const phase::Quarantine& evidence) {
  copies_[index].reset();
  callbacks_.on_phase(evidence);
  // Where nothing is fetched the look at what is here says so.
  const bool is_fetched = services_.config.auto_pull && !files_[index].network_sources().empty();
  if (!is_fetched) return go_to(&BringUp::check_local);
  const bool is_second = has_been_put_away_[index];
  has_been_put_away_[index] = true;
  if (!is_second) return go_to(&BringUp::pull);
  stop({ErrorCode::sha256_mismatch,
        fmt::format(
            "{} has the SHA-256 {} and should have {}, also after a fresh download; the bytes are kept in {}",
            evidence.path, evidence.actual_sha256, evidence.expected_sha256, evidence.quarantine_path)});
}

}  // namespace ggufd::model
