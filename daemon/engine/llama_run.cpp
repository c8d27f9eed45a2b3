#include "engine/llama_run.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <utility>

#include "engine/engine_record.h"
#include "engine/launcher.h"
#include "engine/llama_use.h"

namespace ggufd::engine {
namespace {

// Builds that know it tell a parent how far the load is, and end when their standard input does, not before.
// What the value is does not matter to them (llama.cpp, tools/server).
constexpr const char* told_by_router = "LLAMA_SERVER_ROUTER_PORT=0";
// Its crash is told by its signal; it shall not start a debugger first, as it does where there is one
// (ggml.c).
constexpr const char* no_debugger = "GGML_NO_BACKTRACE=1";

constexpr std::uint64_t ms_per_s = 1000;

LlamaQuestion warm_up_question(const LlamaOrder& order) {
  LlamaQuestion question{.api_key = order.api_key, .limit_ms = order.warm_up_limit_ms};
  switch (order.warm_up) {
    case WarmUp::none:
    case WarmUp::completion:
      question.path = "/completion";
      question.post = R"({"prompt":"Hello","n_predict":1,"cache_prompt":false})";
      break;
    case WarmUp::embedding:
      question.path = "/embedding";
      question.post = R"({"content":"Hello"})";
      break;
    case WarmUp::rerank:
      question.path = "/rerank";
      question.post = R"({"query":"Hello","documents":["Hello"]})";
      break;
  }
  return question;
}

std::string how_it_ended(const loop::ChildExit& exit) {
  if (exit.signal_number == 0) return fmt::format("exited with code {}", exit.code);
  const char* name = sigabbrev_np(exit.signal_number);
  return fmt::format("was ended by signal {} (SIG{})", exit.signal_number, name == nullptr ? "?" : name);
}

std::string with_last_words(std::string how, const LlamaLog& log) {
  if (const std::string words = log.last_words(); !words.empty()) how += fmt::format("; it said: {}", words);
  return how;
}

}  // namespace

Result<std::unique_ptr<LlamaRun>> LlamaRun::start(LlamaHost& host, std::shared_ptr<const LlamaOrder> order,
                                                  LlamaRunCallbacks callbacks) {
  std::unique_ptr<LlamaRun> run(new LlamaRun(host, std::move(order), std::move(callbacks)));
  if (auto begun = run->begin(); !begun) return std::unexpected(std::move(begun.error()));
  return run;
}

LlamaRun::LlamaRun(LlamaHost& host, std::shared_ptr<const LlamaOrder> order, LlamaRunCallbacks callbacks)
    : host_(host),
      order_of_server_(std::move(order)),
      callbacks_(std::move(callbacks)),
      deadline_(host.loop, [this] {
        if (stage_ == Stage::stopping) return stop_when_unused();
        unresponsive(fmt::format("was not healthy within llama_server.startup_timeout_s, {} s",
                                 order_.settings.startup_timeout_s));
      }) {}

LlamaRun::~LlamaRun() {
  if (child_) forget_engine(host_.runtime_folder, order_.model);
  unlink(order_.socket_path.c_str());
}

// --- The start

Result<void> LlamaRun::begin() {
  unlink(order_.socket_path.c_str());  // of a run that was killed
  Launch launch{.program = order_.program.path,
                .arguments = order_.arguments,
                .environment = host_.environment,
                .descriptors = order_.descriptors,
                .open_files = host_.open_files,
                .has_input = true,
                .stop_grace_ms = order_.settings.stop_grace_s * ms_per_s};
  launch.environment.emplace_back(told_by_router);
  launch.environment.emplace_back(no_debugger);
  auto child = loop::start_child(host_.loop, launcher_command(launch, getpid()),
                                 {.on_output = [this](std::string_view bytes) { take_output(bytes); },
                                  .on_exit = [this](loop::ChildExit exit) { ended(exit); }});
  if (!child) return std::unexpected(std::move(child.error()));
  child_ = std::move(*child);
  if (auto recorded = record_engine(host_.runtime_folder, order_.model, child_->pid()); !recorded) {
    spdlog::warn("{}: should ggufd and its keeper be killed, this engine will not be recognised: {}",
                 order_.model, recorded.error().message);
  }
  deadline_.start_once(order_.settings.startup_timeout_s * ms_per_s);
  if (order_.program.build.has_unix_sockets) {
    address_.socket_path = order_.socket_path;
    watch_health();
  }
  return {};
}

void LlamaRun::take_output(std::string_view bytes) {
  const bool has_news = log_.take(bytes);
  if (stage_ != Stage::starting || doom_) return;
  if (log_.is_loaded() && health_) health_->hurry();
  if (!has_news) return;
  if (const auto port = log_.said().port; port && !order_.program.build.has_unix_sockets && !health_) {
    listen_to_port(*port);
  }
  if (!doom_) callbacks_.on_said(log_.said());
}

void LlamaRun::listen_to_port(std::uint16_t port) {
  auto relay = ByteRelay::start(host_.loop, order_.socket_path, port);
  if (!relay) return give_up({.how = fmt::format("cannot be given a socket: {}", relay.error().message)});
  relay_ = std::move(*relay);
  address_.port = port;
  watch_health();
}

std::optional<std::size_t> LlamaRun::relayed() const {
  return relay_ ? std::optional(relay_->connections()) : std::nullopt;
}

void LlamaRun::watch_health() {
  health_ = std::make_unique<HealthWatch>(
      host_, address_, order_.settings.health_interval_ms,
      HealthWatch::Callbacks{
          .on_healthy = [this] { healthy(); },
          .on_unresponsive =
              [this] { unresponsive(fmt::format("did not answer {} times", host_.times.misses_max)); }});
}

// Kept for as long as this turn lasts: the watch is calling.
void LlamaRun::unresponsive(std::string how) {
  if (health_) how += fmt::format("; {}", health_->last_answer());
  give_up({.reason = RestartReason::engine_unresponsive, .how = std::move(how)});
}

void LlamaRun::healthy() {
  deadline_.stop();
  began_ms_ = host_.loop.now_ms();
  if (order_.warm_up == WarmUp::none) return ask_props();
  stage_ = Stage::warming_up;
  callbacks_.on_warm_up();
  if (stage_ == Stage::warming_up && !doom_) warm_up();
}

// Once and really: what is slow or broken shows now, and not to the first who asks.
void LlamaRun::warm_up() {
  ask(warm_up_question(order_), [this](const Result<LlamaAnswer>& answer) { warmed_up(answer); });
}

void LlamaRun::warmed_up(const Result<LlamaAnswer>& answer) {
  // Without an answer in time it hangs, whatever its health says; else it has ended, and the end will tell.
  if (!answer) {
    const std::uint64_t waited_ms = host_.loop.now_ms() - began_ms_;
    if (waited_ms + 1 < order_.warm_up_limit_ms) return;
    return unresponsive(fmt::format("did not answer its warm-up within {} ms", order_.warm_up_limit_ms));
  }
  if (answer->status == 200) {
    warm_up_ms_ = host_.loop.now_ms() - began_ms_;
    return ask_props();
  }
  const LlamaQuestion question = warm_up_question(order_);
  give_up({.how = fmt::format("failed its warm-up: it answered {} to POST {}", answer->status, question.path),
           .is_in_vain = true});
}

void LlamaRun::ask_props() {
  stage_ = Stage::asking_props;
  ask({.path = "/props", .api_key = order_.api_key, .limit_ms = host_.times.answer_limit_ms},
      [this](const Result<LlamaAnswer>& answer) {
        Result<LlamaProps> props = fail(ErrorCode::engine_failed, "");
        if (!answer) {
          props = std::unexpected(answer.error());
        } else if (answer->status != 200) {
          props = fail(ErrorCode::engine_failed, fmt::format("it answered {} to GET /props", answer->status));
        } else {
          props = parse_llama_props(answer->body);
        }
        if (props) return up(*props);
        callbacks_.on_warning("capabilities_unknown", fmt::format("what llama-server can do is not known: {}",
                                                                  props.error().message));
        if (stage_ == Stage::asking_props && !doom_) up({});
      });
}

void LlamaRun::up(const LlamaProps& props) {
  // It makes the socket as its umask lets it: executable, which means nothing. infer.sock is the same file.
  chmod(order_.socket_path.c_str(), S_IRUSR | S_IWUSR);
  stage_ = Stage::up;
  began_ms_ = host_.loop.now_ms();
  callbacks_.on_up(props, warm_up_ms_);
}

void LlamaRun::ask(LlamaQuestion question, std::function<void(const Result<LlamaAnswer>&)> then) {
  asking_ = ask_llama(host_.curl, address_, question,
                      [this, then = std::move(then)](const Result<LlamaAnswer>& answer) {
                        host_.loop.at_end_of_turn([ended = std::move(asking_)] {});
                        if (stage_ != Stage::stopping && !doom_) then(answer);
                      });
}

// --- The end

void LlamaRun::give_up(LlamaEnding ending) {
  if (doom_) return;
  doom_ = std::move(ending);
  deadline_.stop();
  child_->kill();
}

void LlamaRun::stop() {
  if (stage_ == Stage::stopping) return;
  const bool has_users = std::exchange(stage_, Stage::stopping) == Stage::up;
  began_ms_ = host_.loop.now_ms();
  deadline_.stop();
  // One of these may be calling.
  host_.loop.at_end_of_turn(
      [health = std::shared_ptr<HealthWatch>(std::move(health_)), asking = std::move(asking_)] {});
  if (doom_) return;
  if (has_users) return stop_when_unused();
  child_->cancel();
}

// Nobody new finds the way to it any more: what is in flight is all that there will be. A slot that has just
// become free may have its last bytes to send yet: so two looks have to find nothing, where somebody is still
// connected.
void LlamaRun::stop_when_unused() {
  const std::uint64_t waited_ms = host_.loop.now_ms() - began_ms_;
  if (waited_ms >= order_.settings.stop_grace_s * ms_per_s) return child_->cancel();
  asking_ = look_at_use(host_, address_, order_.api_key, order_.socket_path, [this](const LlamaUse& use) {
    host_.loop.at_end_of_turn([ended = std::move(asking_)] {});
    const std::size_t connections = relayed().value_or(use.connections.value_or(0));
    const bool has_work = use.slots ? use.slots->busy > 0 : connections > 0;
    unused_looks_ = has_work ? 0 : unused_looks_ + 1;
    if (unused_looks_ > 1 || (!has_work && connections == 0)) return child_->cancel();
    deadline_.start_once(host_.times.slots_interval_ms);
  });
}

void LlamaRun::ended(const loop::ChildExit& exit) {
  deadline_.stop();
  asking_.reset();
  health_.reset();
  relay_.reset();
  LlamaEnding ending = ending_of(exit);
  forget_engine(host_.runtime_folder, order_.model);
  std::exchange(callbacks_.on_end, nullptr)(std::move(ending));  // may destroy this
}

LlamaEnding LlamaRun::ending_of(const loop::ChildExit& exit) const {
  LlamaEnding ending = doom_.value_or(LlamaEnding{.how = how_it_ended(exit)});
  // At least something, for one that was up at all.
  if (stage_ == Stage::up) ending.up_ms = std::max<std::uint64_t>(host_.loop.now_ms() - began_ms_, 1);
  if (stage_ == Stage::starting && !doom_) {
    ending.how += " while it loaded";
    ending.is_in_vain = log_.end() != LlamaEnd::unknown;
  } else if (stage_ == Stage::warming_up && !doom_) {
    ending.how += " during its warm-up";
  }
  ending.how = with_last_words(std::move(ending.how), log_);
  return ending;
}

}  // namespace ggufd::engine
