// A model's file without the model: the requests pull, verify and cancel.
#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "model/model.h"

namespace ggufd::model {

// --- pull

void Model::pull(BlobWaiter waiter) {
  if (pull_ && pull_cancelled_) {
    return waiter(fail(ErrorCode::busy,
                       fmt::format("the pull of {} is being cancelled; ask again when it is", name())));
  }
  pull_waiters_.add(std::move(waiter));
  if (pull_) return;
  spdlog::info("{}: pulling", name());
  pull_ = std::make_unique<PullJob>(
      services_, config_, PullJob::Name::configured,
      PullJobCallbacks{.on_phase = [this](LoadPhase phase) { tell_pull(std::move(phase)); },
                       .on_warning =
                           [this](std::string code, std::string text) {
                             if (!pull_cancelled_) warn(std::move(code), std::move(text));
                           },
                       .on_done = [this](Result<answer::Blob> result) { pull_ended(result); }});
}

// A load that is under way tells its own progress, and a model that is ready is that and nothing else.
void Model::tell_pull(LoadPhase phase) {
  if (!is_unloaded() || pull_cancelled_) return;
  is_pull_told_ = true;
  progress_.report(std::move(phase));
}

// False where there is none, or its end has been asked for already.
bool Model::cancel_pull(UnloadReason reason) {
  if (!pull_ || pull_cancelled_) return false;
  pull_cancelled_ = reason == UnloadReason::request ? UnloadReason::cancelled : reason;
  pull_->cancel();
  return true;
}

void Model::pull_ended(const Result<answer::Blob>& result) {
  // The job is calling: it is destroyed when the turn ends, not under its own feet.
  services_.loop.at_end_of_turn([ended = std::shared_ptr<PullJob>(std::move(pull_))] {});
  if (result) {
    spdlog::info("{}: pulled, {} bytes at {}", name(), result->bytes, result->path);
    digest_ = store::Digest::parse(result->sha256);
    size_bytes_ = result->bytes;
  } else {
    spdlog::warn("{}: not pulled: {}: {}", name(), name_of(result.error().code), result.error().message);
  }
  if (std::exchange(is_pull_told_, false)) end_told_pull(result);
  pull_cancelled_.reset();
  pull_waiters_.tell(result);
  cancel_waiters_.tell(state_);
  tell_unloaded();
}

// The status that the model had before the pull was told, so that nobody who comes later sees a download.
void Model::end_told_pull(const Result<answer::Blob>& result) {
  const bool is_cancelled = pull_cancelled_ || (!result && result.error().code == ErrorCode::cancelled);
  if (is_cancelled) {
    progress_.drop();
  } else {
    progress_.end();
    if (!result) return failed(Event::pull_failed, result.error());
  }
  if (state_ == ModelState::error) return publish(*failure_);
  const UnloadReason otherwise = is_cancelled ? UnloadReason::cancelled : UnloadReason::request;
  publish(status::Unloaded{pull_cancelled_.value_or(otherwise)});
}

void Model::cancel(Waiter waiter) {
  const Action action = transition(state_, Event::cancel).action;
  if (action == Action::cancel_load || action == Action::join) {
    return unload(UnloadReason::request, std::move(waiter));
  }
  if (action == Action::stop_retrying && retry_.is_running()) {
    retry_.stop();
    failure_->retry_in_ms.reset();
    publish(*failure_);
  }
  cancel_pull(UnloadReason::request);
  if (!pull_) return waiter(state_);
  cancel_waiters_.add(std::move(waiter));
}

// --- verify

void Model::verify(BlobWaiter waiter) {
  verify_waiters_.add(std::move(waiter));
  if (verify_) return;
  spdlog::info("{}: verifying", name());
  verify_ = std::make_unique<VerifyJob>(services_.loop, services_.store, config_,
                                        [this](Result<answer::Blob> result) { verify_ended(result); });
}

void Model::verify_ended(const Result<answer::Blob>& result) {
  services_.loop.at_end_of_turn([ended = std::shared_ptr<VerifyJob>(std::move(verify_))] {});
  if (result) {
    spdlog::info("{}: {} is good", name(), result->path);
  } else if (result.error().code == ErrorCode::sha256_mismatch && !is_ending_all_) {
    tell_bad_blob(result.error().message);
  } else {
    spdlog::warn("{}: not verified: {}: {}", name(), name_of(result.error().code), result.error().message);
  }
  verify_waiters_.tell(result);
  tell_unloaded();
}

bool Model::uses(const store::Digest& blob) const {
  const std::string hex = blob.to_hex();
  return digest_ == blob || std::ranges::find(config_.sha256, hex) != config_.sha256.end();
}

void Model::tell_bad_blob(const std::string& message) {
  warn(std::string(name_of(ErrorCode::sha256_mismatch)), message);
}

}  // namespace ggufd::model
