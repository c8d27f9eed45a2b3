// fetch.bytes_per_second, over all transfers together.
#pragma once

#include <cstdint>
#include <functional>
#include <list>

#include "loop/loop.h"
#include "loop/timer.h"

namespace ggufd::fetch {

// A token bucket: bytes are taken when they have come, and whoever overdraws it waits until the debt is paid,
// so that the average over any second or more is the limit whatever the size of a read.
class RateLimit {
 public:
  explicit RateLimit(loop::Loop& loop, std::uint64_t bytes_per_second = 0);
  RateLimit(const RateLimit&) = delete;
  RateLimit& operator=(const RateLimit&) = delete;

  // 0: no limit. Applies at once; those who wait are asked again.
  void set(std::uint64_t bytes_per_second);
  std::uint64_t bytes_per_second() const { return bytes_per_second_; }

  // False while the bucket is in debt; the waiters are called when that is paid.
  bool has_room();
  void take(std::uint64_t bytes);

  // Called each time that has_room() may be true again after it was not. Must not be destroyed from within a
  // call of it; destroyed, it is forgotten.
  class Waiter {
   public:
    Waiter(RateLimit& limit, std::function<void()> on_room);
    ~Waiter();
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

   private:
    friend class RateLimit;
    RateLimit& limit_;
    std::function<void()> on_room_;
    std::list<Waiter*>::iterator place_;
  };

 private:
  void refill();
  void wake_when_paid();
  void wake();

  loop::Loop& loop_;
  loop::Timer timer_;
  std::uint64_t bytes_per_second_ = 0;
  double balance_ = 0;  // bytes; negative: debt
  std::uint64_t refilled_ms_ = 0;
  std::list<Waiter*> waiters_;
};

}  // namespace ggufd::fetch
