// Blocking work on libuv's thread pool: file reads and writes, fsync, hashing, prefaulting, zeroing.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "loop/loop.h"
#include "loop/operation.h"
#include "protocol/error.h"

namespace ggufd::loop {

// Seen by the work on its pool thread; long work asks between its parts whether it is still wanted.
class CancelToken {
 public:
  explicit CancelToken(const std::atomic<bool>& cancelled) : cancelled_(cancelled) {}
  bool is_cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

 private:
  const std::atomic<bool>& cancelled_;
};

namespace detail {

// One request to the pool. It lives until libuv has called back on the loop, whatever its owner does
// meanwhile.
class PoolRequest {
 public:
  virtual ~PoolRequest() = default;

  static void start(Loop& loop, std::shared_ptr<PoolRequest> request);
  void cancel();
  void abandon();

 protected:
  virtual void work(CancelToken token) = 0;   // on a pool thread
  virtual void complete(bool cancelled) = 0;  // on the loop; not called once abandoned

 private:
  uv_work_t uv_{};
  std::atomic<bool> cancelled_ = false;
  bool abandoned_ = false;
  std::shared_ptr<PoolRequest> self_;  // while libuv holds uv_
};

template <class T>
class PoolWork final : public PoolRequest {
 public:
  using Work = std::move_only_function<Result<T>(CancelToken)>;
  using Done = std::move_only_function<void(Result<T>)>;

  PoolWork(Work work, Done done) : work_(std::move(work)), done_(std::move(done)) {}

 protected:
  void work(CancelToken token) override { result_.emplace(work_(token)); }
  void complete(bool cancelled) override {
    work_ = nullptr;
    Done done = std::move(done_);
    // The owner may hold the operation for long; what the work made does not stay with it.
    std::optional<Result<T>> result = std::move(result_);
    result_.reset();
    if (cancelled || !result) return done(fail(ErrorCode::cancelled, "the operation was cancelled"));
    done(std::move(*result));
  }

 private:
  Work work_;
  Done done_;
  std::optional<Result<T>> result_;
};

class PoolOperation final : public Operation {
 public:
  explicit PoolOperation(std::shared_ptr<PoolRequest> request) : request_(std::move(request)) {}
  ~PoolOperation() override { request_->abandon(); }
  void cancel() override { request_->cancel(); }

 private:
  std::shared_ptr<PoolRequest> request_;
};

}  // namespace detail

// Runs `work` on a pool thread, then `done` with its result on the loop. `work` must own what it touches
// (hold it by value or shared pointer): it may outlive the operation's owner. Where the operation was
// cancelled, done gets `cancelled` and a result that was ready all the same is dropped.
template <class T>
[[nodiscard]] OperationPtr offload(Loop& loop, typename detail::PoolWork<T>::Work work,
                                   typename detail::PoolWork<T>::Done done) {
  auto request = std::make_shared<detail::PoolWork<T>>(std::move(work), std::move(done));
  detail::PoolRequest::start(loop, request);
  return std::make_unique<detail::PoolOperation>(std::move(request));
}

// Work that nobody waits for, and that is done whatever becomes of those who asked for it. The loop's end
// waits for it.
void offload_detached(Loop& loop, std::move_only_function<void()> work);

struct Slices {
  std::uint64_t total_bytes = 0;
  std::uint64_t slice_bytes = 64ULL << 20;  // small enough that cancelling and progress come soon
};

// Runs work(offset, length) on the pool for one slice after the other. After each one on_progress(bytes done
// so far) is called on the loop, at the end done(). The first error ends it. With total_bytes 0 only done()
// is called.
[[nodiscard]] OperationPtr offload_slices(
    Loop& loop, Slices slices, std::function<Result<void>(std::uint64_t offset, std::uint64_t length)> work,
    std::move_only_function<void(std::uint64_t done_bytes)> on_progress,
    std::move_only_function<void(Result<void>)> done);

}  // namespace ggufd::loop
