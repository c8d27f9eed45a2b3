// How many connections a download has: one at first, more only while more bring more.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace ggufd::fetch {

class Widening {
 public:
  // A rate is measured over so long, with all connections running.
  static constexpr std::uint64_t window_ms = 500;
  // Twice the connections have to bring so much more, percent, to be kept.
  static constexpr std::uint64_t worthwhile_percent = 15;
  // After more have brought nothing, it is tried again so much later: networks change.
  static constexpr std::uint64_t rest_ms = 20'000;

  explicit Widening(std::uint32_t most) : most_(std::max(most, 1U)) {}

  std::uint32_t wanted() const { return wanted_; }

  // Something other than the network was the limit just now: the disk, the hash, our own loop, a rate limit.
  // What is measured then says nothing of connections.
  void held_back() { window_begin_.reset(); }
  // Fewer from now on: the server has asked for it, or connections fail.
  void narrow(std::uint32_t wanted) {
    wanted_ = std::clamp(wanted, 1U, most_);
    rest(0);
  }

  // `received_bytes` have come in all, `running` transfers are under way. To be called several times a
  // second.
  void sample(std::uint64_t now_ms, std::uint64_t received_bytes, std::uint32_t running) {
    if (now_ms < resting_until_ms_ || running < wanted_) return window_begin_.reset();
    if (!window_begin_) {
      window_begin_ = Moment{now_ms, received_bytes};
      return;
    }
    const std::uint64_t elapsed_ms = now_ms - window_begin_->at_ms;
    if (elapsed_ms < window_ms) return;
    judge((received_bytes - window_begin_->received_bytes) * 1000 / elapsed_ms, now_ms);
    window_begin_.reset();
  }

 private:
  struct Moment {
    std::uint64_t at_ms = 0;
    std::uint64_t received_bytes = 0;
  };

  void judge(std::uint64_t rate, std::uint64_t now_ms) {
    const bool has_grown = rate > narrower_rate_ + narrower_rate_ * worthwhile_percent / 100;
    if (narrower_rate_ > 0 && !has_grown) {
      wanted_ = narrower_;
      return rest(now_ms + rest_ms);
    }
    narrower_rate_ = 0;
    if (rate == 0 || wanted_ == most_) return;
    narrower_rate_ = rate;
    narrower_ = wanted_;
    wanted_ = std::min(wanted_ * 2, most_);
  }

  void rest(std::uint64_t until_ms) {
    resting_until_ms_ = until_ms;
    narrower_rate_ = 0;
    window_begin_.reset();
  }

  std::uint32_t most_;
  std::uint32_t wanted_ = 1;
  std::uint32_t narrower_ = 1;       // what it was before the last widening
  std::uint64_t narrower_rate_ = 0;  // and what that brought, bytes a second; 0: nothing is on trial
  std::uint64_t resting_until_ms_ = 0;
  std::optional<Moment> window_begin_;
};

}  // namespace ggufd::fetch
