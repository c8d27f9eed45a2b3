// A model's bytes hashed again, all of them and whatever the stamps say: the request `verify`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "loop/loop.h"
#include "loop/operation.h"
#include "protocol/answer.h"
#include "store/blob_store.h"

namespace ggufd::model {

// Begins when it is made. A file that is as it should be gets a new stamp; a blob that is not goes to
// quarantine; a local file in place is its owner's and stays. Every file of a split model is hashed, whatever
// the others are like.
class VerifyJob final : public loop::Operation {
 public:
  // The first file's digest and path, and the bytes of all. Codes: sha256_mismatch, not_in_store, bad_source,
  // io, cancelled.
  using Done = std::move_only_function<void(Result<answer::Blob>)>;

  VerifyJob(loop::Loop& loop, store::BlobStore store, const config::ModelConfig& model, Done on_done);

  void cancel() override;

 private:
  struct File;

  using Files = std::vector<std::shared_ptr<File>>;
  static Result<Files> open(const store::BlobStore& store, const config::ModelConfig& model);

  void hash_next();
  void hashed(const store::Digest& actual);
  void finish(Result<answer::Blob> result);

  loop::Loop& loop_;
  const store::BlobStore store_;
  const config::ModelConfig model_;
  Done on_done_;
  loop::OperationPtr operation_;
  Files files_;  // each shared with the pool while it works on it
  std::size_t current_ = 0;
  answer::Blob answer_;
  std::string complaints_;  // sentences about the files that are bad
};

}  // namespace ggufd::model
