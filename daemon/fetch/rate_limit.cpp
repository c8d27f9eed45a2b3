#include "fetch/rate_limit.h"

#include <algorithm>
#include <cmath>

namespace ggufd::fetch {
namespace {

// What may be taken at once after a pause: a quarter of a second's worth.
constexpr double burst_s = 0.25;

}  // namespace

RateLimit::RateLimit(loop::Loop& loop, std::uint64_t bytes_per_second)
    : loop_(loop), timer_(loop, [this] { wake(); }), refilled_ms_(loop.now_ms()) {
  set(bytes_per_second);
}

void RateLimit::set(std::uint64_t bytes_per_second) {
  refill();
  bytes_per_second_ = bytes_per_second;
  // A debt of the old rate is forgiven: it may be hours at the new one.
  balance_ = std::max(balance_, 0.0);
  timer_.start_once(0);
}

bool RateLimit::has_room() {
  if (bytes_per_second_ == 0) return true;
  refill();
  if (balance_ >= 0) return true;
  wake_when_paid();
  return false;
}

void RateLimit::take(std::uint64_t bytes) {
  if (bytes_per_second_ == 0) return;
  refill();
  balance_ -= static_cast<double>(bytes);
}

void RateLimit::refill() {
  const std::uint64_t now_ms = loop_.now_ms();
  const double rate = static_cast<double>(bytes_per_second_);
  balance_ += rate * static_cast<double>(now_ms - refilled_ms_) / 1000;
  balance_ = std::min(balance_, rate * burst_s);
  refilled_ms_ = now_ms;
}

void RateLimit::wake_when_paid() {
  if (timer_.is_running()) return;
  const double wait_ms = std::ceil(-balance_ * 1000 / static_cast<double>(bytes_per_second_));
  timer_.start_once(static_cast<std::uint64_t>(std::max(wait_ms, 1.0)));
}

// The one that waits longest is asked first; who is refused again waits behind the others.
void RateLimit::wake() {
  const std::list<Waiter*> asked = waiters_;
  if (!waiters_.empty()) waiters_.splice(waiters_.end(), waiters_, waiters_.begin());
  for (Waiter* waiter : asked) {
    if (std::ranges::find(waiters_, waiter) != waiters_.end()) waiter->on_room_();
  }
}

RateLimit::Waiter::Waiter(RateLimit& limit, std::function<void()> on_room)
    : limit_(limit),
      on_room_(std::move(on_room)),
      place_(limit.waiters_.insert(limit.waiters_.end(), this)) {}

RateLimit::Waiter::~Waiter() {
  limit_.waiters_.erase(place_);
}

}  // namespace ggufd::fetch
