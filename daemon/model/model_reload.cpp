// A model whose configuration was read again, with other values for it.
#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "model/model.h"

namespace ggufd::model {
namespace {

// Whether what is loaded stays what it is: these concern only when it is loaded and unloaded.
bool loads_the_same(const config::ModelConfig& left, config::ModelConfig right) {
  right.load = left.load;
  right.load_timeout_s = left.load_timeout_s;
  right.idle_unload_s = left.idle_unload_s;
  return left == right;
}

}  // namespace

void Model::reconfigure(config::ModelConfig next, bool has_new_engine) {
  // What is being staged is what it shall be.
  if (staging_ && next == *staged_config_ && !has_new_engine) return;
  const bool is_up_or_wanted = state_ != ModelState::uninitialized && state_ != ModelState::unloading;
  is_engine_old_ |= is_up_or_wanted && has_new_engine && runs_llama_server();
  if (loads_the_same(config_, next) && !is_engine_old_) return keep_loaded(std::move(next));
  spdlog::info("{}: its configuration has changed", name());
  const Action action = transition(state_, Event::reload).action;
  if (action == Action::stage) return stage(std::move(next));
  staging_.reset();
  staged_config_.reset();
  take_config(std::move(next));
  if (action == Action::start_over) return start_over(Event::reload);
  if (action != Action::begin_load) return;
  restart_ = {.reason = RestartReason::reload};
  begin_load(Event::reload);
}

void Model::keep_loaded(config::ModelConfig next) {
  staged_config_.reset();
  const bool was_behind = std::exchange(reload_failure_, std::nullopt).has_value();
  if (next != config_) take_config(std::move(next));
  if (staging_) return end_staging(fail(ErrorCode::cancelled, "what is loaded is what is configured again"));
  // Nothing is wrong with it any more: that is told as any other change is.
  if (was_behind && state_ == ModelState::ready) tell_ready();
}

void Model::take_config(config::ModelConfig next) {
  if (next.sha256 != config_.sha256 || next.sources != config_.sources) {
    digest_.reset();
    if (next.sha256.size() == 1) digest_ = store::Digest::parse(next.sha256.front());
    size_bytes_ = next.size_bytes;
  }
  config_ = std::move(next);
  watch_use();
}

bool Model::runs_llama_server() const {
  if (config_.engine == config::EngineChoice::resident) return false;
  return !loaded_ || loaded_->engine->capabilities().backend == Backend::llama_server;
}

// --- What is new, while the old serves

void Model::stage(config::ModelConfig next) {
  restart_ = {.reason = RestartReason::reload};
  reload_failure_.reset();
  const bool must_have_engine = next.engine == config::EngineChoice::llama_server ||
                                (next.engine == config::EngineChoice::automatic && runs_llama_server());
  staged_config_ = std::move(next);
  staging_ = std::make_unique<Staging>(
      services_, *staged_config_, must_have_engine,
      PullJobCallbacks{.on_phase =
                           [this](LoadPhase phase) {
                             // An engine that is started again meanwhile has phases of its own.
                             if (state_ == ModelState::ready) progress_.report(std::move(phase));
                           },
                       .on_warning = [this](std::string code,
                                            std::string text) { warn(std::move(code), std::move(text)); },
                       .on_done = [this](const Result<answer::Blob>& result) { staged(result); }});
}

void Model::staged(const Result<answer::Blob>& result) {
  // It is calling: it is destroyed when the turn ends, not under its own feet.
  services_.loop.at_end_of_turn([ended = std::move(staging_)] {});
  if (!result) return staging_failed(result.error());
  const bool is_told = state_ == ModelState::ready;
  if (is_told) progress_.end();
  adopt_staged();
  if (transition(state_, Event::staged).action == Action::start_over) {
    start_over(Event::staged);
    has_staged_ = is_told;
    return;
  }
  restart_ = {.reason = RestartReason::reload};
  begin_load(Event::staged);
}

// What is loaded stays as it is: the next reload tries again.
void Model::staging_failed(const Error& error) {
  if (state_ == ModelState::ready) progress_.end();
  reload_failure_ = fmt::format("what is loaded stays; its new configuration can't be loaded: {}: {}",
                                name_of(error.code), error.message);
  tell_warning("reload_failed", *reload_failure_);
  end_staging(std::unexpected(error));
}

// An engine that is started again meanwhile has a status of its own, and an outcome for those who wait.
void Model::end_staging(const Result<ModelState>& outcome) {
  staging_.reset();
  if (state_ == ModelState::loading || state_ == ModelState::warming_up) return;
  if (state_ == ModelState::ready) {
    progress_.drop();
    restart_.reset();
    tell_ready();
  }
  load_waiters_.tell(outcome);
}

// What is loaded from now on is what was to be staged, whatever has become of that.
void Model::adopt_staged() {
  staging_.reset();
  if (auto next = std::exchange(staged_config_, std::nullopt)) take_config(std::move(*next));
}

// --- From the old to the new

void Model::start_over(Event event) {
  published_.unpublish();
  stop_watching();
  progress_.drop();
  load_began_ms_ = services_.loop.now_ms();
  restart_ = {.reason = RestartReason::reload};
  has_staged_ = false;
  warning_.reset();
  reload_failure_.reset();
  enter(event);
  publish(*restart_);
  if (bring_up_) {
    starts_over_ = true;
    return bring_up_->cancel();
  }
  if (loaded_) release();  // else it is being given back
}

// --- What goes with it

bool Model::is_coming_up() const {
  return staging_ || state_ == ModelState::loading || state_ == ModelState::warming_up;
}

ModelState Model::leads_to() const {
  if (state_ == ModelState::unloading) return ModelState::uninitialized;
  return is_coming_up() ? ModelState::ready : state_;
}

void Model::when_settled(Waiter waiter) {
  if (state_ == ModelState::unloading) return unload_waiters_.add(std::move(waiter));
  if (is_coming_up()) return load_waiters_.add(std::move(waiter));
  waiter(state_);
}

void Model::set_default(bool is_default) {
  if (std::exchange(is_default_, is_default) == is_default || state_ != ModelState::ready) return;
  const std::string name = services_.runtime_folder + "/infer.sock";
  if (!is_default) {
    published_.unpublish(name);
  } else if (auto published = published_.publish_also(loaded_->engine->socket_path(), name); !published) {
    return warn("not_published", published.error().message);
  }
  // Its `ready` names a socket that is another's now; while bytes are staged, the end of that tells.
  if (!staging_) tell_ready();
}

// Often enough that a model is unloaded about when it should be, seldom enough to cost nothing.
void Model::watch_use() {
  if (state_ != ModelState::ready) return;
  constexpr std::uint64_t shortest_ms = 250;
  constexpr std::uint64_t longest_ms = 5000;
  const std::uint64_t idle_ms = std::uint64_t{config_.idle_unload_s} * 1000;
  std::uint64_t interval_ms = services_.config.evict == config::Evict::lru ? longest_ms : 0;
  if (idle_ms > 0) interval_ms = std::clamp(idle_ms / 4, shortest_ms, longest_ms);
  loaded_->engine->watch_use(interval_ms);
  idle_.stop();
  if (idle_ms > 0) idle_.start_once(idle_ms);
}

}  // namespace ggufd::model
