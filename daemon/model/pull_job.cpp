#include "model/pull_job.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "loop/offload.h"
#include "model/blob_check.h"
#include "model/keep.h"
#include "store/manifest.h"

namespace ggufd::model {
namespace {

// A name that another file has already was given by mistake: without a digest of its own, the new one would
// have to be that file.
Result<void> check_name(const store::BlobStore& store, const config::ModelConfig& model) {
  if (!model.sha256.empty()) return {};
  const auto manifest = store::read_manifest(store.root(), model.name);
  if (!manifest) return std::unexpected(manifest.error());
  if (!*manifest) return {};
  const std::string& known = (*manifest)->source.filename;
  const std::string_view known_file = std::string_view(known).substr(known.rfind('/') + 1);
  if (known_file == model.sources.front().file_name()) return {};
  return fail(
      ErrorCode::bad_field,
      fmt::format(
          "the name {} stands for {} in the store already; give another name, or the sha256 of the file "
          "that shall have it from now on",
          model.name, known_file));
}

}  // namespace

PullJob::PullJob(Services& services, const config::ModelConfig& model, Name name, PullJobCallbacks callbacks)
    : services_(services), model_(model), name_(name), callbacks_(std::move(callbacks)) {
  on_pool<Found>([store = services.store, model, name] { return find(store, model, name); },
                 [this](Found found) {
                   found_ = std::move(found);
                   put_away_.resize(found_.files.size());
                   next();
                 });
  callbacks_.on_phase(phase::CheckingLocal{path_to_check(services.store, model_)});
}

template <class T>
void PullJob::on_pool(typename std::move_only_function<Result<T>()> work,
                      std::move_only_function<void(T)> then) {
  operation_ = loop::offload<T>(
      services_.loop, [work = std::move(work)](loop::CancelToken) mutable { return work(); },
      [this, then = std::move(then)](Result<T> result) mutable {
        operation_.reset();
        if (!result) return finish(std::unexpected(std::move(result.error())));
        then(std::move(*result));
      });
}

void PullJob::cancel() {
  is_cancelled_ = true;
  if (operation_) operation_->cancel();
}

Result<PullJob::Found> PullJob::find(const store::BlobStore& store, const config::ModelConfig& model,
                                     Name name) {
  if (name == Name::new_one) {
    if (auto checked = check_name(store, model); !checked) return std::unexpected(checked.error());
  }
  auto files = model_files(store, model);
  if (!files) return std::unexpected(files.error());
  auto copies = find_local_copies(store, model, *files);
  if (!copies) return std::unexpected(copies.error());
  Found found{std::move(*files), {}};
  for (std::optional<LocalCopy>& copy : *copies) {
    found.copies.push_back(copy ? std::make_shared<LocalCopy>(std::move(*copy)) : nullptr);
  }
  return found;
}

// What is missing is fetched before what is here is hashed, as in a bring-up.
void PullJob::next() {
  if (is_cancelled_) {
    return finish(fail(ErrorCode::cancelled, fmt::format("the pull of {} was cancelled", model_.name)));
  }
  const auto& copies = found_.copies;
  if (std::ranges::find(copies, nullptr) != copies.end()) return fetch();
  const auto doubtful = std::ranges::find_if(copies, [](const auto& copy) { return copy->needs_hash; });
  if (doubtful != copies.end()) return hash(static_cast<std::size_t>(doubtful - copies.begin()));
  keep();
}

// --- Fetching

void PullJob::fetch() {
  if (name_ == Name::reloaded && !services_.config.auto_pull) {
    return finish(
        fail(ErrorCode::not_in_store,
             fmt::format("{} is not in the store {} and auto_pull is off; fetch it with `ggufctl pull`",
                         model_.name, services_.store.root())));
  }
  PullFilesRequest request{.model = model_.name,
                           .size_bytes = model_.size_bytes,
                           .settings = services_.config.fetch,
                           .look = {.model = model_.name,
                                    .memory = memory_settings(model_),
                                    .headroom_bytes = services_.config.memory_headroom_bytes,
                                    .is_to_be_loaded = false}};
  for (std::size_t i = 0; i < found_.files.size(); ++i) {
    const auto& copy = found_.copies[i];
    request.files.push_back({.file = found_.files[i],
                             .size_here_bytes = copy ? std::optional(copy->size_bytes) : std::nullopt,
                             .was_put_away = put_away_[i]});
  }
  operation_ = std::make_unique<PullFiles>(
      services_.loop,
      [&pulls = services_.pulls](fetch::PullRequest one, fetch::PullCallbacks callbacks) {
        return pulls.join(std::move(one), std::move(callbacks));
      },
      std::move(request),
      PullFilesCallbacks{.on_phase = [this](const LoadPhase& phase) { callbacks_.on_phase(phase); },
                         .on_warning = [this](const std::string& code,
                                              const std::string& text) { callbacks_.on_warning(code, text); },
                         .on_done = [this](PulledFiles result) { fetched(std::move(result)); }});
  // Cancelled by what the first progress has led to.
  if (is_cancelled_) operation_->cancel();
}

void PullJob::fetched(PulledFiles result) {
  // The operation is calling: it is destroyed when the turn ends, not under its own feet.
  services_.loop.at_end_of_turn([ended = std::move(operation_)] {});
  if (!result) return finish(std::unexpected(std::move(result.error())));
  for (std::size_t i = 0; i < result->size(); ++i) {
    std::optional<fetch::Pulled>& pulled = (*result)[i];
    if (!pulled) continue;
    if (i == 0) {
      first_source_ = std::move(pulled->source);
      first_revision_ = std::move(pulled->revision);
    }
    found_.files[i].digest = pulled->digest;
    found_.copies[i] = std::make_shared<LocalCopy>(local_copy_of(std::move(pulled->blob), pulled->digest));
  }
  next();
}

std::uint64_t PullJob::good_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& copy : found_.copies) bytes += copy->size_bytes;
  return bytes;
}

// --- Hashing

void PullJob::hash(std::size_t index) {
  const std::shared_ptr<LocalCopy> copy = found_.copies[index];
  const auto report_verified = [this, copy](std::uint64_t bytes) {
    callbacks_.on_phase(phase::Verify{copy->path, bytes, copy->size_bytes});
  };
  hasher_ = std::make_shared<store::Sha256>();
  operation_ = loop::offload_slices(
      services_.loop, {.total_bytes = copy->size_bytes},
      [copy, hasher = hasher_](std::uint64_t offset, std::uint64_t length) {
        return hash_slice(copy->fd(), offset, length, *hasher, copy->path);
      },
      report_verified,
      [this, index](Result<void> result) {
        operation_.reset();
        if (!result) return finish(std::unexpected(result.error()));
        const auto actual = hasher_->finish();
        if (!actual) return finish(std::unexpected(actual.error()));
        hashed(index, *actual);
      });
  report_verified(0);
}

void PullJob::hashed(std::size_t index, const store::Digest& actual) {
  const std::shared_ptr<LocalCopy> copy = found_.copies[index];
  if (!copy->is_in_place()) {
    return on_pool<std::optional<BadBlob>>(
        [store = services_.store, copy, expected = *found_.files[index].digest, actual] {
          return check_blob(store, expected, *copy->blob, actual);
        },
        [this, index, copy](std::optional<BadBlob> bad) {
          if (bad) return put_away(index, *bad);
          copy->needs_hash = false;
          copy->digest = found_.files[index].digest;
          next();
        });
  }
  on_pool<bool>(
      [store = services_.store, copy, actual]() -> Result<bool> {
        if (auto recorded = record_hash(store, *copy, actual); !recorded)
          return std::unexpected(recorded.error());
        return true;
      },
      [this](bool) { next(); });
}

// One fresh download follows; if that is no better, its end says so.
void PullJob::put_away(std::size_t index, const BadBlob& bad) {
  callbacks_.on_phase(
      phase::Quarantine{bad.path, bad.expected.to_hex(), bad.actual.to_hex(), bad.quarantine_path});
  found_.copies[index].reset();
  put_away_[index] = true;
  next();
}

// --- The end

// Every copy is good as such by now, and its digest known.
void PullJob::keep() {
  const LocalCopy& first = *found_.copies.front();
  KeptModel kept{.name = model_.name,
                 .size_bytes = good_bytes(),
                 .source = first_source_.value_or(found_.files.front().sources.front()),
                 .revision = first_revision_};
  for (std::size_t i = 0; i < found_.files.size(); ++i) {
    ModelFile& file = found_.files[i];
    const LocalCopy& copy = *found_.copies[i];
    if (!file.digest) file.digest = copy.digest;
    if (file.digest != copy.digest)
      return finish(
          fail(ErrorCode::sha256_mismatch, wrong_local_file(model_, copy.path, *copy.digest, *file.digest)));
    kept.digests.push_back(*copy.digest);
  }
  if (auto checked = check_size(model_, first.path, found_.files.size(), kept.size_bytes); !checked) {
    return finish(std::unexpected(checked.error()));
  }
  answer::Blob answer{.sha256 = first.digest->to_hex(), .bytes = kept.size_bytes, .path = first.path};
  // Local files that a mirror names are their owner's: the store has nothing to say of them.
  if (first.is_in_place()) return finish(std::move(answer));
  on_pool<bool>(
      [store = services_.store, kept = std::move(kept), files = found_.files]() -> Result<bool> {
        if (auto recorded = record_manifest(store, kept); !recorded) return std::unexpected(recorded.error());
        if (files.size() == 1) return true;
        return map_result(link_files(store, kept.name, files), [](const std::string&) { return true; });
      },
      [this, answer = std::move(answer)](bool) mutable { finish(std::move(answer)); });
}

void PullJob::finish(Result<answer::Blob> result) {
  auto done = std::move(callbacks_.on_done);
  done(std::move(result));  // may destroy this
}

}  // namespace ggufd::model
