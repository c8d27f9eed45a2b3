#include "model/source_pulls.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "model/progress_throttle.h"
#include "model/pull_job.h"
#include "protocol/utf8.h"

namespace ggufd::model {
namespace {

// Of a source that a client has sent, so much is logged.
constexpr std::size_t max_logged_bytes = 512;

}  // namespace

struct SourcePulls::Pull {
  Pull(Services& services, const config::ModelConfig& what)
      : source(what),
        progress(services.loop, [&events = services.events, name = what.name](const LoadPhase& phase) {
          events.publish(name, status::LoadingModel{phase});
        }) {}

  const config::ModelConfig source;
  ProgressThrottle progress;
  Waiters<answer::Blob> waiters = {};
  Waiters<ModelState> cancel_waiters = {};
  std::optional<UnloadReason> cancelled = {};  // by what
  bool is_told = false;                        // its progress was published
  std::unique_ptr<PullJob> job = nullptr;
};

SourcePulls::SourcePulls(Services& services, StateOf state_of)
    : services_(services), state_of_(std::move(state_of)) {}

SourcePulls::~SourcePulls() = default;

SourcePulls::Pull* SourcePulls::find(std::string_view name) const {
  const auto found =
      std::ranges::find_if(pulls_, [&](const auto& pull) { return pull->source.name == name; });
  return found == pulls_.end() ? nullptr : found->get();
}

void SourcePulls::pull(const config::ModelConfig& source, Waiter<answer::Blob> waiter) {
  if (Pull* running = find(source.name)) {
    if (running->cancelled) {
      return waiter(
          fail(ErrorCode::busy,
               fmt::format("the pull of {} is being cancelled; ask again when it is", source.name)));
    }
    if (running->source == source) return running->waiters.add(std::move(waiter));
    return waiter(fail(ErrorCode::busy,
                       fmt::format("another source, or another sha256, is being pulled as {}; give another "
                                   "name, or ask again when that is here",
                                   source.name)));
  }
  if (pulls_.size() >= max_pulls) {
    return waiter(
        fail(ErrorCode::busy,
             fmt::format("{} sources are being pulled; ask again when one of them is here", pulls_.size())));
  }
  Pull& pull = *pulls_.emplace_back(std::make_unique<Pull>(services_, source));
  pull.waiters.add(std::move(waiter));
  begin(pull);
}

void SourcePulls::begin(Pull& pull) {
  const config::ModelConfig& source = pull.source;
  spdlog::info("pulling {} as {}", utf8_prefix(config::to_string(source.sources.front()), max_logged_bytes),
               source.name);
  pull.job = std::make_unique<PullJob>(
      services_, source, PullJob::Name::new_one,
      PullJobCallbacks{
          .on_phase = [this, &pull](LoadPhase phase) { tell(pull, std::move(phase)); },
          .on_warning = [this, &pull](std::string code,
                                      std::string text) { warn(pull, std::move(code), std::move(text)); },
          .on_done = [this, &pull](const Result<answer::Blob>& result) { ended(pull, result); }});
}

void SourcePulls::tell(Pull& pull, LoadPhase phase) {
  if (pull.cancelled || state_of_(pull.source.name)) return;
  pull.is_told = true;
  pull.progress.report(std::move(phase));
}

void SourcePulls::warn(const Pull& pull, std::string code, std::string text) {
  if (pull.cancelled) return;
  spdlog::warn("{}: {}: {}", pull.source.name, code, text);
  services_.events.publish(pull.source.name, status::Warning{std::move(code), std::move(text)});
}

void SourcePulls::cancel(std::string_view name, Waiter<ModelState> waiter) {
  Pull* pull = find(name);
  if (pull == nullptr) return waiter(ModelState::uninitialized);
  pull->cancel_waiters.add(std::move(waiter));
  end(*pull, UnloadReason::cancelled);
}

void SourcePulls::cancel_all(std::shared_ptr<void> holder) {
  if (pulls_.empty()) return;
  holder_ = std::move(holder);
  for (const auto& pull : pulls_) end(*pull, UnloadReason::shutdown);
}

void SourcePulls::end(Pull& pull, UnloadReason reason) {
  const bool is_first = !pull.cancelled;
  pull.cancelled = reason;
  if (is_first) pull.job->cancel();
}

void SourcePulls::ended(Pull& pull, const Result<answer::Blob>& result) {
  const auto place = std::ranges::find(pulls_, &pull, &std::unique_ptr<Pull>::get);
  // The job is calling: it is destroyed when the turn ends, not under its own feet.
  services_.loop.at_end_of_turn([ended = std::shared_ptr<Pull>(std::move(*place))] {});
  pulls_.erase(place);
  if (result) {
    spdlog::info("{}: pulled, {} bytes at {}", pull.source.name, result->bytes, result->path);
  } else {
    spdlog::warn("{}: not pulled: {}: {}", pull.source.name, name_of(result.error().code),
                 result.error().message);
  }
  if (pull.is_told) tell_end(pull, result);
  if (!state_of_(pull.source.name)) services_.events.forget(pull.source.name);
  pull.waiters.tell(result);
  pull.cancel_waiters.tell(ModelState::uninitialized);
  if (pulls_.empty()) holder_.reset();
}

// Nobody who comes later sees a download that has ended.
void SourcePulls::tell_end(Pull& pull, const Result<answer::Blob>& result) {
  const std::optional<PhaseKind> phase = pull.progress.phase();
  const auto state = state_of_(pull.source.name);
  // A model that has come to that name and has said nothing yet has our progress for its status.
  const bool is_ours = state.value_or(ModelState::uninitialized) == ModelState::uninitialized;
  if (pull.cancelled || !is_ours) {
    pull.progress.drop();
  } else {
    pull.progress.end();
  }
  if (!is_ours) return;
  if (result || pull.cancelled) {
    return services_.events.publish(pull.source.name,
                                    status::Unloaded{pull.cancelled.value_or(UnloadReason::request)});
  }
  services_.events.publish(
      pull.source.name,
      status::Failed{.phase = phase, .code = result.error().code, .message = result.error().message});
}

}  // namespace ggufd::model
