// One model's life: the state machine, and everything that the outside may know of it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/published_socket.h"
#include "loop/file_watch.h"
#include "loop/operation.h"
#include "loop/timer.h"
#include "model/bring_up.h"
#include "model/loaded_model.h"
#include "model/progress_throttle.h"
#include "model/pull_job.h"
#include "model/services.h"
#include "model/state_table.h"
#include "model/verify_job.h"
#include "model/waiters.h"
#include "protocol/answer.h"
#include "protocol/state.h"

namespace ggufd::model {

// What each event does in each state is a table (model/state_table.h). Nothing but this class changes a
// model's state, and every change is published and logged here.
class Model {
 public:
  // Told once: the state that was asked for is reached, or why it will not be.
  using Waiter = model::Waiter<ModelState>;

  // Told once: the model's file, or why it is not there or not good.
  using BlobWaiter = model::Waiter<answer::Blob>;

  Model(Services& services, config::ModelConfig config, bool is_default);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // Loads of one model at a time are one load: all waiters get its outcome. `busy` while it unloads.
  void load(Waiter waiter);
  // Ends a load or gives back what is loaded, and ends a pull; the waiters of what it ends are told
  // `cancelled`.
  void unload(UnloadReason reason, Waiter waiter);
  // The same, but leaves what is loaded alone.
  void cancel(Waiter waiter);

  // Fetches and verifies, and loads nothing; pulls at a time are one. While the model is neither loaded nor
  // being loaded, the progress is published as a load's is, and then the status that the model had before: so
  // a download is never invisible, and never seems to go on when it has ended. A pull that fails leaves the
  // model in `error`.
  void pull(BlobWaiter waiter);
  // Hashes all of the model's bytes, whatever the state; verifies at a time are one. A mismatch is a warning,
  // too.
  void verify(BlobWaiter waiter);

  // When the model was used last, by the loop's clock: nothing unless it is ready and not being used now.
  std::optional<std::uint64_t> unused_since_ms() const;
  // Looks whether the bytes that are mapped are still there: a mapping has failed, or a file was changed.
  void check_mapped_files();

  using PlanWaiter = std::move_only_function<void(Result<answer::Plan>)>;
  // How much memory it would take with such settings, loaded or not; changes nothing.
  void plan(const gguf::MemorySettings& settings, PlanWaiter waiter);
  static constexpr std::size_t max_plans = 16;  // at a time; one more is `busy`

  // Whether the model stands for that blob, as far as is known.
  bool uses(const store::Digest& blob) const;
  // A blob of the model was found bad, by somebody else.
  void tell_bad_blob(const std::string& message);

  const std::string& name() const { return config_.name; }
  const config::ModelConfig& config() const { return config_; }
  ModelState state() const { return state_; }
  ModelView view() const;
  answer::ModelStatus status() const;

 private:
  void begin_load(Event event);
  void loaded(LoadedModel loaded);
  void failed(Event event, const Error& error);
  void retry_if_it_passes();
  void load_ended(Result<LoadedModel> result);
  void start_unload(UnloadReason reason);
  void release();
  void released(Event event);
  void break_down(Event event, const Error& error);

  void watch_mapped_files();
  void stop_watching();
  void mapped_files_checked(const Result<bool>& are_unchanged);
  void unload_if_idle();

  void tell_pull(LoadPhase phase);
  bool cancel_pull(UnloadReason reason);
  void pull_ended(const Result<answer::Blob>& result);
  void end_told_pull(const Result<answer::Blob>& result);
  void verify_ended(const Result<answer::Blob>& result);
  void tell_unloaded();
  bool is_unloaded() const { return state_ == ModelState::uninitialized || state_ == ModelState::error; }

  void publish(Status status);
  void warn(std::string code, std::string message);
  void enter(Event event);
  std::vector<std::string> public_sockets() const;

  Services& services_;
  const config::ModelConfig config_;
  const bool is_default_;
  ModelState state_ = ModelState::uninitialized;
  Timestamp since_ = Timestamp::now();
  ProgressThrottle progress_;

  std::unique_ptr<BringUp> bring_up_;
  std::optional<LoadedModel> loaded_;
  engine::PublishedSocket published_;
  loop::OperationPtr releasing_;
  loop::Timer idle_;  // idle_unload_s, while ready
  std::uint64_t ready_since_ms_ = 0;
  loop::Timer retry_;                                      // of an error that passes
  std::uint64_t retry_after_ms_ = 0;                       // of the last one in a row
  std::vector<std::unique_ptr<loop::FileWatch>> watches_;  // of the mapped files, while ready
  loop::OperationPtr checking_;                            // of these
  bool has_to_check_again_ = false;
  bool has_told_change_ = false;
  UnloadReason unload_reason_ = UnloadReason::request;
  Waiters<ModelState> load_waiters_;
  Waiters<ModelState> unload_waiters_;
  bool is_stopping_ = false;  // the daemon is

  std::unique_ptr<PullJob> pull_;
  bool is_pull_told_ = false;                   // the last published status is its progress
  std::optional<UnloadReason> pull_cancelled_;  // by what
  Waiters<answer::Blob> pull_waiters_;
  Waiters<ModelState> cancel_waiters_;  // for the end of a pull
  std::unique_ptr<VerifyJob> verify_;
  Waiters<answer::Blob> verify_waiters_;
  std::map<std::uint64_t, loop::OperationPtr> plans_;  // by number
  std::uint64_t next_plan_ = 0;

  std::uint64_t load_began_ms_ = 0;
  std::uint64_t load_count_ = 0;
  std::optional<std::uint64_t> load_ms_;
  std::optional<std::uint64_t> warm_up_ms_;
  std::optional<std::uint64_t> size_bytes_;
  std::optional<store::Digest> digest_;
  std::optional<StatusKind> last_status_;
  std::optional<PhaseKind> last_phase_;
  std::optional<status::Failed> failure_;  // while the state is error
  std::optional<std::string> warning_;
};

}  // namespace ggufd::model
