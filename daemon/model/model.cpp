#include "model/model.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "config/places.h"
#include "model/plan_job.h"

namespace ggufd::model {

Model::Model(Services& services, config::ModelConfig config, bool is_default)
    : services_(services),
      config_(std::move(config)),
      is_default_(is_default),
      progress_(services.loop, [this](const LoadPhase& phase) { publish(status::LoadingModel{phase}); }),
      idle_(services.loop, [this] { unload_if_idle(); }),
      size_bytes_(config_.size_bytes) {
  if (config_.sha256.size() == 1) digest_ = store::Digest::parse(config_.sha256.front());
}

// --- Loading

void Model::load(Waiter waiter) {
  switch (state_) {
    case ModelState::ready:
      return waiter(state_);
    case ModelState::unloading:
      return waiter(fail(ErrorCode::busy, fmt::format("{} is being unloaded; ask again when it is", name())));
    case ModelState::loading:
    case ModelState::warming_up:
      load_waiters_.add(std::move(waiter));
      return;
    case ModelState::uninitialized:
    case ModelState::error:
      load_waiters_.add(std::move(waiter));
      return start_load();
  }
}

void Model::start_load() {
  load_began_ms_ = services_.loop.now_ms();
  // From here on the load tells what a pull of the same bytes has told so far.
  if (std::exchange(is_pull_told_, false)) progress_.drop();
  failure_.reset();
  warning_.reset();
  enter(ModelState::loading);
  bring_up_ = std::make_unique<BringUp>(
      services_, config_,
      BringUpCallbacks{// A load that is being cancelled has nothing more to tell.
                       .on_phase =
                           [this](LoadPhase phase) {
                             if (state_ == ModelState::loading) progress_.report(std::move(phase));
                           },
                       .on_warning =
                           [this](std::string code, std::string text) {
                             if (state_ == ModelState::loading) warn(std::move(code), std::move(text));
                           },
                       .on_identified =
                           [this](const store::Digest& digest, std::uint64_t size_bytes) {
                             digest_ = digest;
                             size_bytes_ = size_bytes;
                           },
                       .on_done = [this](Result<LoadedModel> result) { load_ended(std::move(result)); }});
}

void Model::load_ended(Result<LoadedModel> result) {
  // The bring-up is calling: it is destroyed when the turn ends, not under its own feet.
  services_.loop.at_end_of_turn([ended = std::shared_ptr<BringUp>(std::move(bring_up_))] {});
  const bool is_unwanted = state_ == ModelState::unloading;
  if (!is_unwanted) progress_.end();
  if (result && !is_unwanted) return loaded(std::move(*result));
  if (result) {
    loaded_ = std::move(*result);
    return release();
  }
  if (is_unwanted) return released();
  failed(result.error());
}

void Model::loaded(LoadedModel loaded) {
  loaded_ = std::move(loaded);
  auto published = engine::PublishedSocket::publish(loaded_->engine->socket_path(), public_sockets());
  if (!published) return fail_while_ready(published.error());
  published_ = std::move(*published);
  ++load_count_;
  load_ms_ = services_.loop.now_ms() - load_began_ms_;
  warm_up_ms_ = loaded_->warm_up_ms;
  enter(ModelState::ready);
  publish(loaded_->engine->capabilities());
  publish(status::Ready{*load_ms_, warm_up_ms_, public_sockets().front()});
  ready_since_ms_ = services_.loop.now_ms();
  if (config_.idle_unload_s > 0) idle_.start_once(std::uint64_t{config_.idle_unload_s} * 1000);
  watch_mapped_files();
  load_waiters_.tell(state_);
}

void Model::failed(const Error& error) {
  failure_ = {.code = error.code, .message = error.message};
  if (last_status_ == StatusKind::loading_model) failure_->phase = last_phase_;
  enter(ModelState::error);
  spdlog::error("{}: {}: {}", name(), name_of(error.code), error.message);
  publish(*failure_);
  load_waiters_.tell(std::unexpected(error));
}

// --- Unloading

void Model::unload(UnloadReason reason, Waiter waiter) {
  unload_waiters_.add(std::move(waiter));
  cancel_pull(reason);
  if (reason == UnloadReason::shutdown) {
    is_stopping_ = true;
    if (verify_) verify_->cancel();
  }
  switch (state_) {
    case ModelState::unloading:
      return;
    case ModelState::error:
      failure_.reset();
      enter(ModelState::uninitialized);
      if (!is_pull_told_) publish(status::Unloaded{reason});  // else the pull's end says it
      return tell_unloaded();
    case ModelState::uninitialized:
      return tell_unloaded();
    case ModelState::loading:
    case ModelState::warming_up:
      start_unload(reason == UnloadReason::request ? UnloadReason::cancelled : reason);
      return bring_up_->cancel();
    case ModelState::ready:
      start_unload(reason);
      return release();
  }
}

// Once nothing of what was to be ended goes on.
void Model::tell_unloaded() {
  const bool is_ending_pull = pull_ && pull_cancelled_;
  const bool is_ending_verify = verify_ && is_stopping_;
  if (state_ == ModelState::unloading || is_ending_pull || is_ending_verify) return;
  unload_waiters_.tell(ModelState::uninitialized);
}

void Model::start_unload(UnloadReason reason) {
  // First of all nobody new gets in.
  published_.unpublish();
  stop_watching();
  unload_reason_ = reason;
  progress_.drop();
  enter(ModelState::unloading);
  publish(status::Unloading{reason});
  load_waiters_.tell(fail(ErrorCode::cancelled, fmt::format("the load of {} was cancelled", name())));
}

void Model::release() {
  releasing_ =
      give_back(services_.loop, *std::exchange(loaded_, std::nullopt), services_.config.drop_cache, [this] {
        releasing_.reset();
        released();
      });
}

void Model::released() {
  enter(ModelState::uninitialized);
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
                              });
}

ModelView Model::view() const {
  return {.state = state_,
          .phase = state_ == ModelState::loading ? progress_.phase() : std::nullopt,
          .error = failure_ ? std::optional(failure_->message) : std::nullopt,
          .warning = warning_,
          .gave_up = state_ == ModelState::error};
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
                             .phase = seen.phase,
                             .availability = availability_of(seen),
                             .health = health_of(seen),
                             .since = since_,
                             .load_ms = load_ms_,
                             .warm_up_ms = warm_up_ms_,
                             .load_count = load_count_,
                             .bytes = size_bytes_};
  if (digest_) status.sha256 = digest_->to_hex();
  if (loaded_) status.memory = {loaded_->mapped_bytes(), loaded_->kv_bytes()};
  if (loaded_ && loaded_->engine) status.engine.backend = loaded_->engine->capabilities().backend;
  return status;
}

void Model::publish(Status status) {
  const StatusKind kind = kind_of(status);
  if (const auto* loading = std::get_if<status::LoadingModel>(&status)) last_phase_ = kind_of(loading->phase);
  if (kind != StatusKind::warning && kind != StatusKind::capabilities) last_status_ = kind;
  services_.events.publish(name(), std::move(status));
}

void Model::warn(std::string code, std::string message) {
  // What had come before it is told before it.
  progress_.flush();
  spdlog::warn("{}: {}: {}", name(), code, message);
  warning_ = message;
  publish(status::Warning{std::move(code), std::move(message)});
}

void Model::enter(ModelState state) {
  spdlog::info("{}: {} -> {}", name(), name_of(state_), name_of(state));
  state_ = state;
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
