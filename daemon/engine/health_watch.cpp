#include "engine/health_watch.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "engine/llama_facts.h"

namespace ggufd::engine {
namespace {

constexpr std::uint32_t hurried_questions = 50;
constexpr std::uint64_t hurried_interval_ms = 10;

}  // namespace

HealthWatch::HealthWatch(LlamaHost& host, LlamaAddress address, std::uint64_t interval_ms,
                         Callbacks callbacks)
    : host_(host),
      address_(std::move(address)),
      interval_ms_(interval_ms),
      callbacks_(std::move(callbacks)),
      next_(host.loop, [this] { ask(); }) {
  ask();
}

void HealthWatch::hurry() {
  if (is_healthy_ || hurried_left_ > 0) return;
  hurried_left_ = hurried_questions;
  if (!question_) ask();
}

void HealthWatch::ask() {
  next_.stop();
  asked_ms_ = host_.loop.now_ms();
  question_ =
      ask_llama(host_.curl, address_,
                {.path = "/health", .post = {}, .api_key = {}, .limit_ms = host_.times.answer_limit_ms},
                [this](const Result<LlamaAnswer>& answer) {
                  host_.loop.at_end_of_turn([ended = std::move(question_)] {});
                  answered(answer);
                });
}

void HealthWatch::answered(const Result<LlamaAnswer>& answer) {
  const std::uint64_t waited_ms = host_.loop.now_ms() - asked_ms_;
  const bool is_well = answer && answer->status == 200 && is_healthy(answer->body);
  if (is_well) {
    misses_ = 0;
  } else {
    last_answer_ = answer ? fmt::format("/health is answered with {}", answer->status)
                          : fmt::format("/health is not answered within {} ms", host_.times.answer_limit_ms);
    const bool has_hung = !answer && waited_ms + 1 >= host_.times.answer_limit_ms;
    misses_ = is_healthy_ || has_hung ? misses_ + 1 : 0;
  }
  if (misses_ >= host_.times.misses_max) return callbacks_.on_unresponsive();
  const bool is_first = is_well && !std::exchange(is_healthy_, is_healthy_ || is_well);
  if (is_first) interval_ms_ = host_.times.ready_interval_ms;
  const bool hurries = !is_healthy_ && hurried_left_ > 0;
  if (hurries) --hurried_left_;
  const std::uint64_t interval_ms = hurries ? std::min(interval_ms_, hurried_interval_ms) : interval_ms_;
  next_.start_once(interval_ms - std::min(interval_ms, waited_ms));
  if (is_first) callbacks_.on_healthy();
}

}  // namespace ggufd::engine
