// One model's life: the state machine, and everything that the outside may know of it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/published_socket.h"
#include "loop/file_watch.h"
#include "loop/operation.h"
#include "loop/timer.h"
#include "model/bring_up.h"
#include "model/loaded_model.h"
#include "model/progress_throttle.h"
#include "model/pull_job.h"
#include "model/services.h"
#include "model/staging.h"
#include "model/state_table.h"
#include "model/verify_job.h"
#include "model/waiters.h"
#include "protocol/answer.h"
#include "protocol/state.h"

namespace ggufd::model {

// What each event does in each state is a table (model/state_table.h). Nothing but this class changes a
// model's state, and every change is published and logged here.
class Model final : private engine::EngineUser {
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
  // `cancelled`. With the reasons shutdown and reload (it is not configured any more) it ends a verify and
  // plans, too, and nothing goes on once the waiter is told.
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

  // Its configuration was read again; `next` has the same name. What changes nothing of what is loaded holds
  // at once. Otherwise, while it is ready, what is new is staged first (model/staging.h), and it serves until
  // then; where that fails it stays as it is (`reload_failed`). `has_new_engine`: llama_server has changed,
  // too.
  void reconfigure(config::ModelConfig next, bool has_new_engine);
  // Where what is under way leads to, and when it has got there; at once where nothing is.
  ModelState leads_to() const;
  bool is_changing() const { return is_coming_up() || state_ == ModelState::unloading; }
  void when_settled(Waiter waiter);
  // infer.sock is its, or is not any more.
  void set_default(bool is_default);
  // `evict` may have changed.
  void watch_use();

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
  void start_bring_up();
  void tell_phase(LoadPhase phase);
  void take_config(config::ModelConfig next);
  bool runs_llama_server() const;
  void stage(config::ModelConfig next);
  void staged(const Result<answer::Blob>& result);
  void staging_failed(const Error& error);
  void end_staging(const Result<ModelState>& outcome);
  void adopt_staged();
  void keep_loaded(config::ModelConfig next);
  bool is_coming_up() const;
  void start_over(Event event);
  void become_ready();
  void tell_ready();
  void failed(Event event, const Error& error);
  void retry_if_it_passes();
  void load_ended(Result<LoadedModel> result);
  void start_unload(UnloadReason reason);
  void release();
  void given_back();
  void released(Event event);
  void break_down(Event event, const Error& error);
  void remember_engine(std::optional<answer::EngineStatus> engine);

  // Of an engine that was up before.
  void on_engine_phase(LoadPhase phase) override { tell_phase(std::move(phase)); }
  void on_engine_warning(std::string code, std::string message) override;
  void on_engine_up() override { become_ready(); }
  void on_engine_down(const engine::EngineDown& down) override;
  void on_engine_failed(const Error& error) override;

  void watch_mapped_files();
  void stop_watching();
  void mapped_files_checked(const Result<bool>& are_unchanged);
  void unload_if_idle();

  void tell_pull(LoadPhase phase);
  bool cancel_pull(UnloadReason reason);
  void pull_ended(const Result<answer::Blob>& result);
  void end_told_pull(const Result<answer::Blob>& result);
  void verify_ended(const Result<answer::Blob>& result);
  void end_all();
  void tell_unloaded();
  bool is_unloaded() const { return state_ == ModelState::uninitialized || state_ == ModelState::error; }

  void publish(Status status);
  void log_availability();
  void warn(std::string code, std::string message);
  void tell_warning(std::string code, std::string message);
  void enter(Event event);
  std::vector<std::string> public_sockets() const;

  Services& services_;
  config::ModelConfig config_;
  bool is_default_;
  ModelState state_ = ModelState::uninitialized;
  Timestamp since_ = Timestamp::now();
  ProgressThrottle progress_;

  std::unique_ptr<BringUp> bring_up_;
  std::optional<status::Restarting> restart_;         // the load that is under way is one again: why
  std::unique_ptr<Staging> staging_;                  // of what is new, while the old serves
  std::optional<config::ModelConfig> staged_config_;  // theirs, also where they could not be had
  bool has_staged_ = false;                           // the load that is under way goes on from there
  bool is_engine_old_ = false;                        // llama_server has changed since what is loaded was
  bool starts_over_ = false;                          // when the bring-up has ended that is being cancelled
  std::optional<LoadedModel> loaded_;
  engine::PublishedSocket published_;
  loop::OperationPtr releasing_;  // what was loaded; the next bring-up waits for it
  loop::Timer idle_;              // idle_unload_s, while ready
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
  bool is_ending_all_ =
      false;  // nothing may go on: the daemon stops, or the model is not configured any more

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
  std::optional<std::string> reload_failure_;        // why what is configured is not what is loaded
  std::optional<answer::EngineStatus> last_engine_;  // of the last load that failed, while the state is error
  Availability availability_ = availability_of({});  // as it was logged last
};

}  // namespace ggufd::model
