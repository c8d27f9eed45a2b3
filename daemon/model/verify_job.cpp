#include "model/verify_job.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "loop/offload.h"
#include "model/blob_check.h"
#include "model/local_copy.h"

namespace ggufd::model {

struct VerifyJob::File {
  LocalCopy copy;
  std::optional<store::Digest> expected;  // none of a local file that may be anything
  store::Sha256 hasher = {};
};

namespace {

Error not_in_store(const config::ModelConfig& model) {
  return {ErrorCode::not_in_store,
          fmt::format("{} is not in the store; `ggufctl pull {}` fetches it", model.name, model.name)};
}

// Records that all of a local file was hashed, and says what is wrong with it; nothing where it is as it
// should be.
Result<std::string> check_in_place(const store::BlobStore& store, const config::ModelConfig& model,
                                   LocalCopy& copy, const std::optional<store::Digest>& expected,
                                   const store::Digest& actual) {
  if (auto recorded = record_hash(store, copy, actual); !recorded) return std::unexpected(recorded.error());
  if (!copy.not_stamped.empty()) spdlog::warn("{}", copy.not_stamped);
  if (!expected || actual == *expected) return "";
  return wrong_local_file(model, copy.path, actual, *expected);
}

}  // namespace

VerifyJob::VerifyJob(loop::Loop& loop, store::BlobStore store, const config::ModelConfig& model, Done on_done)
    : loop_(loop), store_(std::move(store)), model_(model), on_done_(std::move(on_done)) {
  operation_ = loop::offload<Files>(
      loop_, [store = store_, model](loop::CancelToken) { return open(store, model); },
      [this](Result<Files> files) {
        operation_.reset();
        if (!files) return finish(std::unexpected(files.error()));
        files_ = std::move(*files);
        hash_next();
      });
}

Result<VerifyJob::Files> VerifyJob::open(const store::BlobStore& store, const config::ModelConfig& model) {
  const auto named = model_files(store, model);
  if (!named) return std::unexpected(named.error());
  auto copies = find_local_copies(store, model, *named);
  if (!copies) return std::unexpected(copies.error());
  Files files;
  for (std::size_t i = 0; i < copies->size(); ++i) {
    std::optional<LocalCopy>& copy = (*copies)[i];
    if (!copy) return std::unexpected(not_in_store(model));
    // A stamp that holds saves nothing here: the file is about to be hashed.
    if (copy->is_in_place() && !copy->before_hash) {
      auto before = store::before_hash(copy->fd(), copy->path);
      if (!before) return std::unexpected(before.error());
      copy->before_hash = std::move(*before);
    }
    files.push_back(std::make_shared<File>(std::move(*copy), (*named)[i].digest));
  }
  return files;
}

void VerifyJob::cancel() {
  if (operation_) operation_->cancel();
}

void VerifyJob::hash_next() {
  if (current_ == files_.size()) {
    if (complaints_.empty()) return finish(std::move(answer_));
    return finish(fail(ErrorCode::sha256_mismatch, std::move(complaints_)));
  }
  const std::shared_ptr<File> file = files_[current_];
  operation_ = loop::offload_slices(
      loop_, {.total_bytes = file->copy.size_bytes},
      [file](std::uint64_t offset, std::uint64_t length) {
        return hash_slice(file->copy.fd(), offset, length, file->hasher, file->copy.path);
      },
      [](std::uint64_t) {},
      [this, file](Result<void> result) {
        operation_.reset();
        if (!result) return finish(std::unexpected(result.error()));
        const auto actual = file->hasher.finish();
        if (!actual) return finish(std::unexpected(actual.error()));
        hashed(*actual);
      });
}

void VerifyJob::hashed(const store::Digest& actual) {
  const std::shared_ptr<File> file = files_[current_];
  if (current_ == 0) answer_ = {.sha256 = actual.to_hex(), .bytes = 0, .path = file->copy.path};
  answer_.bytes += file->copy.size_bytes;
  ++current_;
  operation_ = loop::offload<std::string>(
      loop_,
      [store = store_, model = model_, file, actual](loop::CancelToken) -> Result<std::string> {
        if (file->copy.is_in_place()) return check_in_place(store, model, file->copy, file->expected, actual);
        const auto bad = check_blob(store, *file->expected, *file->copy.blob, actual);
        if (!bad) return std::unexpected(bad.error());
        return *bad ? to_string(**bad) : "";
      },
      [this](Result<std::string> complaint) {
        operation_.reset();
        if (!complaint) return finish(std::unexpected(complaint.error()));
        if (!complaints_.empty() && !complaint->empty()) complaints_ += ". ";
        complaints_ += *complaint;
        hash_next();
      });
}

void VerifyJob::finish(Result<answer::Blob> result) {
  Done done = std::move(on_done_);
  done(std::move(result));  // may destroy this
}

}  // namespace ggufd::model
