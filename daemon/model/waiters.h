// Those who wait for the outcome of something that several may wait for.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "protocol/error.h"

namespace ggufd::model {

// One who waits: is told once, or never where nobody wants to know any more.
template <class T>
class Waiter {
 public:
  using Tell = std::move_only_function<void(const Result<T>&)>;

  // Nobody: who begins something and does not wait for it.
  Waiter() = default;
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, Waiter> && std::invocable<F&, const Result<T>&>)
  Waiter(F&& tell) : tell_(std::forward<F>(tell)) {}
  // On behalf of `asker`: once that has gone, nobody wants to know.
  Waiter(Tell tell, std::weak_ptr<const void> asker) : tell_(std::move(tell)), asker_(std::move(asker)) {}

  bool is_wanted() const { return tell_ && !(asker_ && asker_->expired()); }
  void operator()(const Result<T>& outcome) {
    if (tell_) std::exchange(tell_, nullptr)(outcome);
  }

 private:
  Tell tell_;
  std::optional<std::weak_ptr<const void>> asker_;
};

template <class T>
class Waiters {
 public:
  // Those whom nobody stands behind any more are forgotten on the way: clients that ask and go, over and
  // over, leave no more behind than there are clients.
  void add(Waiter<T> waiter) {
    if (!waiter.is_wanted()) return;
    if (waiters_.size() >= prune_at_) {
      std::erase_if(waiters_, [](const Waiter<T>& waiting) { return !waiting.is_wanted(); });
      prune_at_ = std::max(first_prune, 2 * waiters_.size());
    }
    waiters_.push_back(std::move(waiter));
  }
  // Tells everyone who waits now; who begins to wait meanwhile waits for the next outcome.
  void tell(const Result<T>& outcome) {
    for (Waiter<T>& waiter : std::exchange(waiters_, {})) waiter(outcome);
  }
  std::size_t size() const { return waiters_.size(); }

 private:
  static constexpr std::size_t first_prune = 64;

  std::vector<Waiter<T>> waiters_;
  std::size_t prune_at_ = first_prune;
};

}  // namespace ggufd::model
