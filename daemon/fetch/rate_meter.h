// Bytes a second over the last few seconds.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

namespace ggufd::fetch {

class RateMeter {
 public:
  static constexpr std::uint64_t window_ms = 5000;

  // `total_bytes` has arrived in all by `now_ms`; neither goes back.
  void add(std::uint64_t now_ms, std::uint64_t total_bytes) {
    // A sample each 100 ms is enough for a window of 5 s.
    if (samples_.empty() || now_ms >= samples_.back().at_ms + 100) samples_.push_back({now_ms, total_bytes});
    // The oldest one kept is the last that is at least a window old.
    while (samples_.size() > 1 && samples_[1].at_ms + window_ms <= now_ms) samples_.pop_front();
    now_ = {now_ms, total_bytes};
  }

  // 0 before two moments are known.
  std::uint64_t bytes_per_second() const {
    if (samples_.empty() || now_.at_ms <= samples_.front().at_ms) return 0;
    return (now_.total_bytes - samples_.front().total_bytes) * 1000 / (now_.at_ms - samples_.front().at_ms);
  }

  // Seconds for `left_bytes` at this rate, rounded up; nothing while nothing moves.
  std::optional<std::uint64_t> eta_s(std::uint64_t left_bytes) const {
    const std::uint64_t rate = bytes_per_second();
    if (rate == 0) return std::nullopt;
    return left_bytes / rate + (left_bytes % rate == 0 ? 0 : 1);
  }

 private:
  struct Sample {
    std::uint64_t at_ms = 0;
    std::uint64_t total_bytes = 0;
  };
  std::deque<Sample> samples_;
  Sample now_;
};

}  // namespace ggufd::fetch
