#include "model/bring_up.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "engine/resident.h"
#include "fetch/curl_error.h"
#include "fetch/source_url.h"
#include "gguf/validate.h"
#include "store/model_lock.h"

namespace ggufd::model {
namespace {

// How often it is looked whether another process's download of the same bytes has ended.
constexpr std::uint64_t other_download_interval_ms = 250;

}  // namespace

// The bring-up in its order. check_local and verify may jump; every other step leads to the next.
const BringUp::Step BringUp::steps[] = {
    &BringUp::check_local,        // is it here, and is it known to be good?
    &BringUp::download,           // if not: fetch it, hashed on the way
    &BringUp::keep_download,      // its digest is right: a blob; wrong: quarantine, and once more
    &BringUp::verify,             // what is here and not known to be good is hashed
    &BringUp::map,                // the verified descriptor is mapped and its header read
    &BringUp::prefault,           // its pages are brought into memory
    &BringUp::allocate_kv_cache,  // as the memory plan says
    &BringUp::start_engine,       // last: it finds everything in place
};

BringUp::BringUp(Services& services, const config::ModelConfig& model, BringUpCallbacks callbacks)
    : services_(services), model_(model), callbacks_(std::move(callbacks)),
      wait_(services.loop, [this] { run(&BringUp::download); }), deadline_(services.loop, [this] {
        reason_ = Error{ErrorCode::load_timeout,
                        fmt::format("{} was not ready within load_timeout_s, {} s after it was mapped", model_.name,
                                    model_.load_timeout_s)};
        cancel();
      }) {
  run(steps[0]);
}

void BringUp::run(Step step) {
  current_ = step;
  (this->*step)();
}

void BringUp::advance() {
  if (is_cancelled_) return stop(fail(ErrorCode::cancelled, "").error());
  const Step* next = std::ranges::find(steps, current_) + 1;
  if (next == std::end(steps)) return finish(std::move(loaded_));
  run(*next);
}

void BringUp::go_to(Step step) {
  if (is_cancelled_) return stop(fail(ErrorCode::cancelled, "").error());
  run(step);
}

void BringUp::cancel() {
  if (std::exchange(is_cancelled_, true)) return;
  if (operation_) return operation_->cancel();
  // Between two looks at another's download: woken to end. Everywhere else the running step ends at its next turn.
  if (wait_.is_running()) wait_.start_once(0);
}

void BringUp::stop(Error error) {
  if (is_cancelled_) {
    error = reason_.value_or(Error{ErrorCode::cancelled, fmt::format("the load of {} was cancelled", model_.name)});
  }
  deadline_.stop();
  header_.reset();
  copy_.reset();
  downloaded_.reset();
  download_lock_.reset();
  // Gigabytes are given back on the pool.
  operation_ = loop::offload<void>(
      services_.loop,
      [loaded = std::make_shared<LoadedModel>(std::move(loaded_))](loop::CancelToken) {
        loaded->mapping.reset();
        loaded->kv_cache.reset();
        return Result<void>();
      },
      [this, error = std::move(error)](Result<void>) mutable { finish(std::unexpected(std::move(error))); });
}

void BringUp::finish(Result<LoadedModel> result) {
  deadline_.stop();
  std::exchange(callbacks_.on_done, nullptr)(std::move(result));  // may destroy this
}

template <class T>
void BringUp::on_pool(typename std::move_only_function<Result<T>()> work, std::move_only_function<void(T)> then) {
  operation_ = loop::offload<T>(
      services_.loop, [work = std::move(work)](loop::CancelToken) mutable { return work(); },
      [this, then = std::move(then)](Result<T> result) mutable {
        operation_.reset();
        if (!result) return stop(std::move(result.error()));
        then(std::move(*result));
      });
}

void BringUp::in_slices(loop::Slices slices, std::function<Result<void>(std::uint64_t, std::uint64_t)> work,
                        std::move_only_function<void(std::uint64_t)> on_progress, std::move_only_function<void()> then) {
  operation_ = loop::offload_slices(services_.loop, slices, std::move(work), std::move(on_progress),
                                    [this, then = std::move(then)](Result<void> result) mutable {
                                      operation_.reset();
                                      if (!result) return stop(std::move(result.error()));
                                      then();
                                    });
}

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
        fmt::format("{} is not in the store {} and auto_pull is off; fetch it with `ggufctl pull {}`", model_.name,
                    services_.store.root(), model_.name)});
}

// What is known good goes on to be mapped, if it is what was asked for.
void BringUp::identified() {
  if (expectation_.digest && copy_->digest != expectation_.digest) {
    return stop({ErrorCode::sha256_mismatch,
                 fmt::format("{} has the SHA-256 {} and should have {}; the file is left as it is: replace it, or correct "
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
      [store = services_.store, expectation = expectation_, name = model_.name]() -> Result<Locked> {
        auto lock = store::ModelLock::try_lock(store.root(), name);
        if (!lock) return std::unexpected(lock.error());
        if (!*lock) return Locked{};
        auto partial = store.open_partial(expectation.partial_key);
        if (!partial && partial.error().code == ErrorCode::busy) return Locked{};
        if (!partial) return std::unexpected(partial.error());
        Locked locked{std::move(*lock), std::move(*partial)};
        // Whoever held it before may have brought the blob.
        if (!expectation.digest) return locked;
        auto blob = store.find(*expectation.digest);
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
          .on_progress = [this] { callbacks_.on_phase(static_cast<fetch::Download&>(*operation_).progress()); },
          .on_done =
              [this](Result<fetch::Downloaded> result) {
                if (!result) return stop(std::move(result.error()));
                downloaded_ = std::move(*result);
                advance();
              }});
  callbacks_.on_phase(download->progress());
  operation_ = std::move(download);
}

void BringUp::keep_download() {
  const std::string path = downloaded_->partial.data_path();
  const store::Digest digest = downloaded_->digest;
  const std::uint64_t size_bytes = downloaded_->size_bytes;
  const std::string url = fetch::display_url(fetch::source_url(model_.sources.front(), services_.config.fetch));
  auto partial = std::make_shared<store::Partial>(std::move(downloaded_->partial));
  downloaded_.reset();
  callbacks_.on_phase(phase::Verify{path, size_bytes, size_bytes});
  if (expectation_.digest && digest != *expectation_.digest) {
    const store::QuarantineEvidence evidence{url, "sha256_mismatch", expectation_.digest->to_hex(), digest.to_hex()};
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
  if (!std::exchange(has_quarantined_, true)) return go_to(&BringUp::download);
  stop({ErrorCode::sha256_mismatch,
        fmt::format("what {} serves has the SHA-256 {} and should have {}, also after a fresh download; correct the "
                    "model's sha256 or its source. The bytes are kept in {}",
                    config::to_string(model_.sources.front()), evidence.actual_sha256, evidence.expected_sha256,
                    evidence.quarantine_path)});
}

// --- Hash what is here.

void BringUp::verify() {
  callbacks_.on_phase(phase::Verify{copy_->path, 0, copy_->size_bytes});
  const auto hasher = std::make_shared<store::Sha256>();
  in_slices({.total_bytes = copy_->size_bytes},
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
    const store::QuarantineEvidence evidence{"", "sha256_mismatch", expectation_.digest->to_hex(), digest.to_hex()};
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
        if (auto recorded = record_hash(store, *copy, digest); !recorded) return std::unexpected(recorded.error());
        return std::move(*copy);
      },
      [this](LocalCopy recorded) { found_local(std::move(recorded)); });
}

// --- Bring it into memory.

void BringUp::map() {
  deadline_.start_once(std::uint64_t{model_.load_timeout_s} * 1000);
  loaded_.path = copy_->path;
  loaded_.size_bytes = copy_->size_bytes;
  loaded_.digest = copy_->digest;
  report_resident(0);
  struct Mapped {
    std::shared_ptr<MemoryRegion> region;
    std::shared_ptr<gguf::Header> header;
    gguf::MemoryPlan plan;
  };
  gguf::MemorySettings settings{.n_ctx = model_.n_ctx, .n_seq = model_.n_seq, .kv_unified = model_.kv_unified,
                                .type_k = std::string(name_of(model_.kv_type_k)),
                                .type_v = std::string(name_of(model_.kv_type_v)), .n_ubatch = model_.n_ubatch};
  on_pool<Mapped>(
      [copy = copy_, settings = std::move(settings)]() -> Result<Mapped> {
        const std::string& path = copy->path;
        const std::uint64_t size = copy->size_bytes;
        if (size == 0) return fail(ErrorCode::invalid_gguf, fmt::format("{} is empty", path));
        auto region = map_file(copy->fd(), size, path);
        if (!region) return std::unexpected(region.error());
        auto header = gguf::read_model(region->bytes(), size);
        if (!header) return fail(header.error().code, fmt::format("{}: {}", path, header.error().message));
        auto plan = gguf::plan_memory(*header, settings);
        if (!plan) return fail(plan.error().code, fmt::format("{}: {}", path, plan.error().message));
        return Mapped{std::make_shared<MemoryRegion>(std::move(*region)), std::make_shared<gguf::Header>(std::move(*header)), std::move(*plan)};
      },
      [this](Mapped mapped) {
        loaded_.mapping = std::move(mapped.region);
        header_ = std::move(mapped.header);
        plan_ = std::move(mapped.plan);
        advance();
      });
}

void BringUp::prefault() {
  in_slices({.total_bytes = loaded_.size_bytes},
            [region = loaded_.mapping](std::uint64_t offset, std::uint64_t length) {
              return populate_for_reading(*region, offset, length);
            },
            [this](std::uint64_t bytes) { report_resident(bytes); }, [this] { advance(); });
}

void BringUp::report_resident(std::uint64_t bytes) {
  callbacks_.on_phase(phase::Mmap{loaded_.path, bytes, loaded_.size_bytes, copy_->integrity});
}

void BringUp::allocate_kv_cache() {
  if (!plan_.kv) {
    callbacks_.on_warning("kv_unknown", fmt::format("no KV cache is allocated: {}", plan_.kv_unknown));
    return advance();
  }
  const std::uint64_t bytes = plan_.kv->bytes();
  callbacks_.on_phase(phase::KvCache{static_cast<std::uint32_t>(plan_.n_ctx), bytes,
                                     std::string(name_of(model_.kv_type_k)), std::string(name_of(model_.kv_type_v))});
  if (bytes == 0) return advance();
  auto region = map_anonymous(bytes);
  if (!region) return stop(std::move(region.error()));
  loaded_.kv_cache = std::make_shared<MemoryRegion>(std::move(*region));
  in_slices({.total_bytes = bytes},
            [cache = loaded_.kv_cache](std::uint64_t offset, std::uint64_t length) {
              return populate_for_writing(*cache, offset, length);
            },
            [](std::uint64_t) {}, [this] { advance(); });
}

void BringUp::start_engine() {
  if (model_.engine == config::EngineChoice::llama_server) {
    return stop({ErrorCode::engine_not_found, fmt::format("{} asks for the engine llama-server, which ggufd " GGUFD_VERSION
                                                          " does not run; set its engine to resident or auto",
                                                          model_.name)});
  }
  if (model_.engine == config::EngineChoice::automatic) {
    callbacks_.on_warning("engine_resident",
                          "no llama-server is run: the model is in memory, and nothing is inferred; engine resident says "
                          "so without this warning");
  }
  auto engine = engine::start_resident(
      services_.loop, engine::engine_socket_path(services_.runtime_folder, model_.name),
      {.model = model_.name,
       .architecture = std::string(header_->architecture()),
       .n_ctx = static_cast<std::uint32_t>(plan_.n_ctx),
       .mapped_bytes = loaded_.mapped_bytes(),
       .kv_bytes = loaded_.kv_bytes()});
  if (!engine) return stop(std::move(engine.error()));
  loaded_.engine = std::move(*engine);
  header_.reset();
  advance();
}

}  // namespace ggufd::model
