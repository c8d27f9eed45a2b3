// A model's files brought into the store, or found good there, and nothing loaded: the request `pull`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "fetch/pull.h"
#include "loop/operation.h"
#include "model/blob_check.h"
#include "model/local_copy.h"
#include "model/model_files.h"
#include "model/pull_files.h"
#include "model/services.h"
#include "protocol/answer.h"
#include "protocol/load_phase.h"

namespace ggufd::model {

// Each may cancel the job; only on_done may destroy it.
struct PullJobCallbacks {
  // checking_local, download, verify, quarantine, as in a bring-up; a split model's files are one progress.
  std::function<void(LoadPhase)> on_phase;
  std::function<void(std::string code, std::string message)> on_warning;
  // The first file's digest and path, and the bytes of all. Codes: those of fetch/pull.h, size_mismatch,
  // bad_field where the name stands for another file.
  std::move_only_function<void(Result<answer::Blob>)> on_done;
};

// Begins when it is made. A load of the same model, or of the same bytes, shares what is fetched
// (fetch::Pulls).
class PullJob final : public loop::Operation {
 public:
  enum class Name {
    configured,  // the model's own
    reloaded,    // the same, for a load: fetched only where auto_pull says so
    new_one,     // of a source that no configured model has: it must not be that of another file in the store
  };
  PullJob(Services& services, const config::ModelConfig& model, Name name, PullJobCallbacks callbacks);

  void cancel() override;

 private:
  struct Found {
    std::vector<ModelFile> files;
    std::vector<std::shared_ptr<LocalCopy>>
        copies;  // null: it has to be fetched; shared with the pool's work
  };
  using PulledFiles = Result<std::vector<std::optional<fetch::Pulled>>>;
  static Result<Found> find(const store::BlobStore& store, const config::ModelConfig& model, Name name);

  void next();
  void fetch();
  void fetched(PulledFiles result);
  void hash(std::size_t index);
  void hashed(std::size_t index, const store::Digest& actual);
  void put_away(std::size_t index, const BadBlob& bad);
  void keep();
  void finish(Result<answer::Blob> result);

  std::uint64_t good_bytes() const;

  // Runs `work` on the pool; its value goes to `then`, its error ends the job.
  template <class T>
  void on_pool(typename std::move_only_function<Result<T>()> work, std::move_only_function<void(T)> then);

  Services& services_;
  const config::ModelConfig model_;
  const Name name_;
  PullJobCallbacks callbacks_;
  loop::OperationPtr operation_;
  bool is_cancelled_ = false;
  Found found_;
  std::vector<bool> put_away_;  // of each file: what was here had a wrong digest
  std::shared_ptr<store::Sha256> hasher_;
  std::optional<config::Source> first_source_;  // that the first file came from; nothing: it was here
  std::string first_revision_;
};

}  // namespace ggufd::model
