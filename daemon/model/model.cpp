#include "model/model.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "config/places.h"
#include "model/plan_job.h"

namespace ggufd::model {
Model::Model(Services& services, config::ModelConfig config, bool is_default)
    : services_(services),
      config_(std::move(config)),
      is_default_(is_default),
      progress_(services.loop,
                [this](const LoadPhase& phase) {
                  if (!restart_) return publish(status::LoadingModel{phase});
                  status::Restarting restarting = *restart_;
                  restarting.phase = phase;
                  publish(std::move(restarting));
                }),
      idle_(services.loop, [this] { unload_if_idle(); }),
      retry_(services.loop, [this] { begin_load(Event::retry_due); }),
      size_bytes_(config_.size_bytes) {
  if (config_.sha256.size() == 1) digest_ = store::Digest::parse(config_.sha256.front());
}

// --- Loading

void Model::load(Waiter waiter) {
  const Action action = transition(state_, Event::load).action;
  if (action == Action::nothing) return waiter(state_);
  if (action == Action::refuse_busy) {
    return waiter(fail(ErrorCode::busy, fmt::format("{} is being unloaded; ask again when it is", name())));
  }
  load_waiters_.add(std::move(waiter));
  if (action != Action::begin_load) return;
  retry_after_ms_ = 0;
  begin_load(Event::load);
}

void Model::begin_load(Event event) {
  retry_.stop();
  load_began_ms_ = services_.loop.now_ms();
  // From here on the load tells what a pull of the same bytes has told so far.
  if (std::exchange(is_pull_told_, false)) progress_.drop();
  failure_.reset();
  warning_.reset();
  reload_failure_.reset();
  last_engine_.reset();
  enter(event);
  adopt_staged();
  // What an error or an unload leaves behind is given back first: an engine of before, its socket, its
  // memory.
  if (!releasing_) start_bring_up();
}

void Model::start_bring_up() {
  is_engine_old_ = false;
  bring_up_ = std::make_unique<BringUp>(
      services_, config_,
      BringUpCallbacks{
          .on_phase = [this](LoadPhase phase) { tell_phase(std::move(phase)); },
          .on_warning = [this](std::string code,
                               std::string text) { on_engine_warning(std::move(code), std::move(text)); },
          .on_engine_down = [this](const engine::EngineDown& down) { on_engine_down(down); },
          .on_identified =
              [this](const store::Digest& digest, std::uint64_t size_bytes) {
                digest_ = digest;
                size_bytes_ = size_bytes;
              },
          .on_done = [this](Result<LoadedModel> result) { load_ended(std::move(result)); }});
}

void Model::load_ended(Result<LoadedModel> result) {
  std::optional<answer::EngineStatus> engine = bring_up_->engine_status();
  // The bring-up is calling: it is destroyed when the turn ends, not under its own feet.
  services_.loop.at_end_of_turn([ended = std::shared_ptr<BringUp>(std::move(bring_up_))] {});
  if (std::exchange(starts_over_, false)) {
    if (!result) return start_bring_up();
    loaded_ = std::move(*result);
    return release();
  }
  const Event event = result ? Event::loaded : Event::failed;
  const Action action = transition(state_, event).action;
  if (state_ != ModelState::unloading) progress_.end();
  if (action == Action::fail) {
    remember_engine(std::move(engine));
    return failed(event, result.error());
  }
  // It was to be ended meanwhile.
  if (action == Action::finish_unload) return released(event);
  loaded_ = std::move(*result);
  loaded_->engine->set_user(*this);
  if (action == Action::give_back_late) return release();
  ++load_count_;
  become_ready();
}

void Model::become_ready() {
  progress_.end();
  auto published = engine::PublishedSocket::publish(loaded_->engine->socket_path(), public_sockets());
  if (!published) return break_down(Event::failed, published.error());
  published_ = std::move(*published);
  load_ms_ = services_.loop.now_ms() - load_began_ms_;
  warm_up_ms_ = loaded_->engine->warm_up_ms();
  retry_after_ms_ = 0;
  restart_.reset();
  if (staging_) restart_ = {.reason = RestartReason::reload};
  has_staged_ = false;
  enter(Event::loaded);
  publish(loaded_->engine->capabilities());
  tell_ready();
  ready_since_ms_ = services_.loop.now_ms();
  watch_use();
  watch_mapped_files();
  load_waiters_.tell(state_);
}

void Model::tell_ready() {
  publish(status::Ready{*load_ms_, warm_up_ms_, public_sockets().front()});
}

void Model::failed(Event event, const Error& error) {
  failure_ = {.code = error.code, .message = error.message};
  const bool was_loading =
      last_status_ == StatusKind::loading_model || last_status_ == StatusKind::restarting;
  if (was_loading) failure_->phase = last_phase_;
  restart_.reset();
  has_staged_ = false;
  enter(event);
  spdlog::error("{}: {}: {}", name(), name_of(error.code), error.message);
  // A pull is nobody's wish to load.
  if (event != Event::pull_failed) retry_if_it_passes();
  publish(*failure_);
  load_waiters_.tell(std::unexpected(error));
}

void Model::retry_if_it_passes() {
  const bool passes = failure_->code == ErrorCode::network || failure_->code == ErrorCode::disk_full;
  if (!passes || is_ending_all_) return;
  retry_after_ms_ = std::clamp(2 * retry_after_ms_, services_.retry.first_ms, services_.retry.last_ms);
  failure_->retry_in_ms = retry_after_ms_;
  retry_.start_once(retry_after_ms_);
}

void Model::tell_phase(LoadPhase phase) {
  if (state_ == ModelState::loading && kind_of(phase) == PhaseKind::warm_up) enter(Event::warming_up);
  // A load that is being cancelled has nothing more to tell.
  if (state_ == ModelState::unloading || starts_over_) return;
  // Staging has told that one.
  if (has_staged_ && kind_of(phase) == PhaseKind::checking_local) return;
  progress_.report(std::move(phase));
}

// --- Unloading

void Model::unload(UnloadReason reason, Waiter waiter) {
  unload_waiters_.add(std::move(waiter));
  cancel_pull(reason);
  if (reason == UnloadReason::shutdown || reason == UnloadReason::reload) end_all();
  const Action action = transition(state_, Event::unload).action;
  switch (action) {
    case Action::nothing:
      return tell_unloaded();
    case Action::forget_error:
      retry_.stop();
      failure_.reset();
      last_engine_.reset();
      enter(Event::unload);
      if (!is_pull_told_) publish(status::Unloaded{reason});  // else the pull's end says it
      return tell_unloaded();
    case Action::cancel_load:
      start_unload(reason == UnloadReason::request ? UnloadReason::cancelled : reason);
      if (bring_up_) return bring_up_->cancel();
      if (loaded_) release();  // else it is being given back
      return;
    case Action::give_back:
      start_unload(reason);
      return release();
    default:
      assert(action == Action::join);
  }
}

void Model::end_all() {
  is_ending_all_ = true;
  if (verify_) verify_->cancel();
  for (const auto& [number, plan] : plans_) plan->cancel();
}

// Once nothing of what was to be ended goes on.
void Model::tell_unloaded() {
  const bool is_ending_pull = pull_ && pull_cancelled_;
  const bool is_ending_others = is_ending_all_ && (verify_ || !plans_.empty());
  if (state_ == ModelState::unloading || is_ending_pull || is_ending_others) return;
  is_ending_all_ = false;
  unload_waiters_.tell(ModelState::uninitialized);
}

void Model::start_unload(UnloadReason reason) {
  // First of all nobody new gets in.
  published_.unpublish();
  stop_watching();
  unload_reason_ = reason;
  progress_.drop();
  restart_.reset();
  has_staged_ = false;
  starts_over_ = false;
  enter(Event::unload);
  adopt_staged();
  publish(status::Unloading{reason});
  load_waiters_.tell(fail(ErrorCode::cancelled, fmt::format("the load of {} was cancelled", name())));
}

void Model::release() {
  releasing_ = give_back(services_.loop, *std::exchange(loaded_, std::nullopt), services_.config.drop_cache,
                         [this] { given_back(); });
}

void Model::given_back() {
  // The operation is calling: it is destroyed when the turn ends, not under its own feet.
  services_.loop.at_end_of_turn([ended = std::move(releasing_)] {});
  if (state_ == ModelState::unloading) return released(Event::given_back);
  if (state_ == ModelState::loading && !bring_up_) start_bring_up();
}

void Model::released(Event event) {
  enter(event);
  publish(status::Unloaded{unload_reason_});
  tell_unloaded();
}

// --- What the outside sees

void Model::plan(const gguf::MemorySettings& settings, PlanWaiter waiter) {
  if (plans_.size() >= max_plans) {
    return waiter(fail(ErrorCode::busy,
                       fmt::format("{} plans of {} are being made; ask again", plans_.size(), name())));
  }
  const std::uint64_t number = next_plan_++;
  plans_[number] = plan_model(services_, config_, loaded_ ? loaded_->planner : std::nullopt, settings,
                              [this, number, waiter = std::move(waiter)](Result<answer::Plan> plan) mutable {
                                plans_.erase(number);
                                waiter(std::move(plan));
                                if (is_ending_all_) tell_unloaded();
                              });
}

ModelView Model::view() const {
  const bool is_loading = state_ == ModelState::loading || state_ == ModelState::warming_up;
  return {.state = state_,
          .phase = is_loading ? progress_.phase() : std::nullopt,
          .is_restarting = restart_.has_value(),
          .error = failure_ ? std::optional(failure_->message) : std::nullopt,
          .warning = reload_failure_ ? reload_failure_ : warning_,
          .gave_up = state_ == ModelState::error && !retry_.is_running()};
}

answer::ModelStatus Model::status() const {
  ModelView seen = view();
  // A pull that is told shows like the download of a load, but for the state: that is what it was.
  if (is_pull_told_) {
    seen.state = ModelState::loading;
    seen.phase = progress_.phase();
  }
  answer::ModelStatus status{.name = name(),
                             .state = state_,
                             .status = last_status_,
                             .phase = staging_ ? progress_.phase() : seen.phase,
                             .availability = availability_of(seen),
                             .health = health_of(seen),
                             .since = since_,
                             .load_ms = load_ms_,
                             .warm_up_ms = warm_up_ms_,
                             .load_count = load_count_,
                             .bytes = size_bytes_};
  if (digest_) status.sha256 = digest_->to_hex();
  if (loaded_) status.memory = {loaded_->mapped_bytes(), loaded_->kv_bytes()};
  if (loaded_ && loaded_->engine) {
    status.engine = loaded_->engine->status();
  } else if (const auto of_load = bring_up_ ? bring_up_->engine_status() : last_engine_; of_load) {
    status.engine = *of_load;
  }
  return status;
}

void Model::publish(Status status) {
  const StatusKind kind = kind_of(status);
  if (const auto* loading = std::get_if<status::LoadingModel>(&status)) last_phase_ = kind_of(loading->phase);
  if (const auto* again = std::get_if<status::Restarting>(&status); again && again->phase) {
    last_phase_ = kind_of(*again->phase);
  }
  if (kind != StatusKind::warning && kind != StatusKind::capabilities) last_status_ = kind;
  services_.events.publish(name(), std::move(status));
  log_availability();
}

void Model::log_availability() {
  const Availability now = availability_of(view());
  if (now.code == availability_.code) return;
  const auto level = now.name == "ERROR" ? spdlog::level::err : spdlog::level::info;
  spdlog::log(level, "{}: availability {} {} -> {} {}", name(), availability_.code, availability_.name,
              now.code, now.name);
  availability_ = now;
}

void Model::warn(std::string code, std::string message) {
  warning_ = message;
  tell_warning(std::move(code), std::move(message));
}

void Model::tell_warning(std::string code, std::string message) {
  // What had come before it is told before it.
  progress_.flush();
  spdlog::warn("{}: {}: {}", name(), code, message);
  publish(status::Warning{std::move(code), std::move(message)});
}

void Model::enter(Event event) {
  const Transition step = transition(state_, event);
  assert(step.action != Action::impossible);
  spdlog::info("{}: {} -> {}", name(), name_of(state_), name_of(step.to));
  state_ = step.to;
  since_ = Timestamp::now();
}

// The default model's first name is infer.sock; every model has one with its name in it.
std::vector<std::string> Model::public_sockets() const {
  std::vector<std::string> paths;
  if (is_default_) paths.push_back(services_.runtime_folder + "/infer.sock");
  paths.push_back(services_.runtime_folder + "/infer." + name() + ".sock");
  return paths;
}

}  // namespace ggufd::model
