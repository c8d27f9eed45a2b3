// Which of a phase's many reports become events: the first, the last, and at most some nine a second between.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "loop/timer.h"
#include "protocol/load_phase.h"

namespace ggufd::model {

class ProgressThrottle {
 public:
  // Nine in any second, so that the last report of a phase still fits under ten.
  static constexpr std::uint64_t interval_ms = 112;

  ProgressThrottle(loop::Loop& loop, std::function<void(const LoadPhase&)> publish)
      : loop_(loop), publish_(std::move(publish)), due_(loop, [this] { flush(); }) {}

  // A report of another kind than the one before begins a phase and is published at once, after the last of
  // the old one.
  void report(LoadPhase phase) {
    if (kind_ != kind_of(phase)) {
      flush();
      kind_ = kind_of(phase);
      return publish_now(phase);
    }
    const std::uint64_t now_ms = loop_.now_ms();
    if (now_ms >= next_ms_) return publish_now(phase);
    held_ = std::move(phase);
    if (!due_.is_running()) due_.start_once(next_ms_ - now_ms);
  }

  // Publishes the report that was held back, if any.
  void flush() {
    due_.stop();
    if (!held_) return;
    const LoadPhase phase = std::move(*held_);
    publish_now(phase);
  }

  // The phases have ended.
  void end() {
    flush();
    kind_.reset();
  }

  // The same without telling what was held back.
  void drop() {
    held_.reset();
    end();
  }

  std::optional<PhaseKind> phase() const { return kind_; }

 private:
  void publish_now(const LoadPhase& phase) {
    next_ms_ = loop_.now_ms() + interval_ms;
    publish_(phase);
    held_.reset();
    due_.stop();
  }

  loop::Loop& loop_;
  std::function<void(const LoadPhase&)> publish_;
  loop::Timer due_;
  std::optional<PhaseKind> kind_;
  std::optional<LoadPhase> held_;
  std::uint64_t next_ms_ = 0;
};

}  // namespace ggufd::model
