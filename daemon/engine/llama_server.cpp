#include "engine/llama_server.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <optional>
#include <string>
#include <utility>

#include "engine/llama_run.h"
#include "engine/llama_use.h"
#include "engine/restart_policy.h"
#include "loop/timer.h"

namespace ggufd::engine {
namespace {

// Of its output, so much is told in the answer to `status`, which has room for some models.
constexpr std::size_t told_tail_bytes = 2048;

class LlamaServer final : public Engine {
 public:
  LlamaServer(LlamaHost& host, LlamaOrder order, EngineUser& user)
      : host_(host),
        order_(std::make_shared<const LlamaOrder>(std::move(order))),
        user_(&user),
        policy_(order_->settings),
        next_(host.loop, [this] { next_is_due(); }),
        use_timer_(host.loop, [this] { look_at_use(); }) {
    next_.start_once(0);
  }

  void set_user(EngineUser& user) override { user_ = &user; }
  status::Capabilities capabilities() const override { return capabilities_; }
  const std::string& socket_path() const override { return order_->socket_path; }
  std::optional<std::uint64_t> warm_up_ms() const override { return warm_up_ms_; }
  Use use() const override { return use_; }

  void watch_use(std::uint64_t interval_ms) override {
    use_interval_ms_ = interval_ms;
    use_timer_.stop();
    if (interval_ms > 0 && !on_stopped_) use_timer_.start_once(interval_ms);
  }

  answer::EngineStatus status() const override {
    answer::EngineStatus status{.backend = Backend::llama_server,
                                .restarts = policy_.restarts(),
                                .restarts_left = policy_.restarts_left(),
                                .last_exit = last_exit_};
    if (run_) status.pid = run_->pid();
    const std::string tail = run_ ? run_->tail(told_tail_bytes) : last_tail_;
    if (!tail.empty()) status.stderr_tail = tail;
    return status;
  }

  void stop(std::move_only_function<void()> on_stopped) override {
    on_stopped_ = std::move(on_stopped);
    use_timer_.stop();
    looking_.reset();
    if (run_) return run_->stop();
    next_.start_once(0);
  }

 private:
  // The first start, the one after a back-off, or the end of a stop that had nothing to wait for.
  void next_is_due() {
    if (on_stopped_) return std::exchange(on_stopped_, nullptr)();  // may destroy this
    start_run();
  }

  void start_run() {
    ++attempt_;
    warm_up_ms_.reset();
    auto run =
        LlamaRun::start(host_, order_,
                        {.on_said = [this](const LlamaSaid&) { tell_start(); },
                         .on_warm_up = [this] { user_->on_engine_phase(phase::WarmUp{}); },
                         .on_up = [this](const LlamaProps& props,
                                         std::optional<std::uint64_t> warm_up_ms) { up(props, warm_up_ms); },
                         .on_warning =
                             [this](std::string code, std::string message) {
                               user_->on_engine_warning(std::move(code), std::move(message));
                             },
                         .on_end = [this](const LlamaEnding& ending) { ended(ending); }});
    if (!run) return decide({.how = fmt::format("could not be started: {}", run.error().message)});
    run_ = std::move(*run);
    spdlog::info("{}: {} runs as process {}", order_->model, order_->program.path, run_->pid());
    tell_start();
  }

  void tell_start() {
    if (!run_) return;
    const LlamaSaid& said = run_->said();
    user_->on_engine_phase(phase::EngineStart{.backend = Backend::llama_server,
                                              .pid = run_->pid(),
                                              .attempt = attempt_,
                                              .loaded_percent = said.loaded_percent,
                                              .kv_bytes = said.kv_buffer_bytes});
  }

  void up(const LlamaProps& props, std::optional<std::uint64_t> warm_up_ms) {
    warm_up_ms_ = warm_up_ms;
    capabilities_ = llama_capabilities(props, run_->said(), order_->settings, order_->is_embedding_model);
    if (capabilities_.n_ctx == 0) capabilities_.n_ctx = order_->n_ctx;
    use_.last_ms = host_.loop.now_ms();
    seen_slots_.reset();
    watch_use(use_interval_ms_);
    user_->on_engine_up();
  }

  // --- The end of a run

  void ended(const LlamaEnding& ending) {
    last_tail_ = run_->tail(told_tail_bytes);
    // The run is calling: it is destroyed when the turn ends, not under its own feet.
    host_.loop.at_end_of_turn([ended = std::shared_ptr<LlamaRun>(std::move(run_))] {});
    use_timer_.stop();
    looking_.reset();
    use_.is_busy = false;
    last_exit_ = ending.how;
    if (on_stopped_) return std::exchange(on_stopped_, nullptr)();  // may destroy this
    decide(ending);
  }

  void decide(const LlamaEnding& ending) {
    const std::string how = fmt::format("llama-server {}", ending.how);
    spdlog::warn("{}: {}", order_->model, how);
    if (ending.is_in_vain) {
      return user_->on_engine_failed({ErrorCode::engine_failed, how});
    }
    const auto restart = policy_.ended(ending.up_ms);
    if (!restart) {
      return user_->on_engine_failed(
          {ErrorCode::engine_unhealthy,
           fmt::format(
               "{} has run {} times and is given up; the last time llama-server {}; when it is mended, load "
               "the model again",
               order_->model, attempt_, ending.how)});
    }
    next_.start_once(restart->delay_ms);
    user_->on_engine_down({.reason = ending.reason,
                           .how = how,
                           .attempt = attempt_ + 1,
                           .restarts_left = restart->restarts_left});
  }

  // --- Use

  void look_at_use() {
    if (!run_) return;
    looking_ = engine::look_at_use(host_, run_->address(), order_->api_key, order_->socket_path,
                                   [this](LlamaUse use) {
                                     host_.loop.at_end_of_turn([ended = std::move(looking_)] {});
                                     if (const auto relayed = run_->relayed()) use.connections = relayed;
                                     seen(use);
                                     watch_use(use_interval_ms_);
                                   });
  }

  // Whoever came and went between two looks has left a trace in the slots.
  void seen(const LlamaUse& use) {
    const bool has_worked = use.slots && seen_slots_ && use.slots->fingerprint != *seen_slots_;
    if (use.slots) seen_slots_ = use.slots->fingerprint;
    use_.is_busy = use.is_busy();
    if (use_.is_busy || has_worked) use_.last_ms = host_.loop.now_ms();
  }

  LlamaHost& host_;
  const std::shared_ptr<const LlamaOrder> order_;  // shared with its runs
  EngineUser* user_;
  RestartPolicy policy_;
  std::unique_ptr<LlamaRun> run_;
  loop::Timer next_;  // the next start
  std::uint32_t attempt_ = 0;
  status::Capabilities capabilities_;
  std::optional<std::uint64_t> warm_up_ms_;
  std::optional<std::string> last_exit_;
  std::string last_tail_;
  std::move_only_function<void()> on_stopped_;
  loop::Timer use_timer_;  // the next look
  std::uint64_t use_interval_ms_ = 0;
  loop::OperationPtr looking_;
  std::optional<std::uint64_t> seen_slots_;  // their fingerprint
  Use use_;
};

}  // namespace

std::unique_ptr<Engine> start_llama_server(LlamaHost& host, LlamaOrder order, EngineUser& user) {
  return std::make_unique<LlamaServer>(host, std::move(order), user);
}

}  // namespace ggufd::engine
