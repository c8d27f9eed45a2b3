#include "loop/offload.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

namespace ggufd::loop {
namespace detail {
namespace {

// Where there are fewer cores than threads with work, the loop goes first: it answers everybody, and hands
// out the work.
void let_the_loop_go_first() {
#ifdef __linux__
  constexpr int pool_nice = 5;  // a third of the loop's share (sched(7)); on Linux it is the thread's own
  thread_local const bool is_done =
      ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), pool_nice) == 0;
  static_cast<void>(is_done);
#endif
}

}  // namespace

void PoolRequest::start(Loop& loop, std::shared_ptr<PoolRequest> request) {
  PoolRequest& self = *request;
  self.uv_.data = &self;
  self.self_ = std::move(request);
  uv_queue_work(
      loop.raw(), &self.uv_,
      [](uv_work_t* uv) {
        let_the_loop_go_first();
        auto& running = *static_cast<PoolRequest*>(uv->data);
        if (!running.cancelled_) running.work(CancelToken(running.cancelled_));
      },
      [](uv_work_t* uv, int) {
        auto& ended = *static_cast<PoolRequest*>(uv->data);
        const auto keep = std::move(ended.self_);
        if (!ended.abandoned_) ended.complete(ended.cancelled_);
      });
}

void PoolRequest::cancel() {
  cancelled_ = true;
  // Only work that is still queued can be taken back (then it completes in the next turn); a running one sees
  // the flag.
  if (self_) uv_cancel(reinterpret_cast<uv_req_t*>(&uv_));
}

void PoolRequest::abandon() {
  abandoned_ = true;
  cancel();
}

}  // namespace detail

namespace {

class SlicedOperation final : public Operation {
 public:
  using Work = std::function<Result<void>(std::uint64_t, std::uint64_t)>;
  using OnProgress = std::move_only_function<void(std::uint64_t)>;
  using Done = std::move_only_function<void(Result<void>)>;

  SlicedOperation(Loop& loop, Slices slices, Work work, OnProgress on_progress, Done done)
      : loop_(loop),
        slices_(slices),
        work_(std::move(work)),
        on_progress_(std::move(on_progress)),
        done_(std::move(done)) {
    next_slice();
  }

  void cancel() override {
    is_cancelled_ = true;
    slice_->cancel();
  }

 private:
  void next_slice() {
    const std::uint64_t length = std::min(slices_.slice_bytes, slices_.total_bytes - done_bytes_);
    slice_ = offload<void>(
        loop_,
        [work = work_, offset = done_bytes_, length](CancelToken) {
          return length == 0 ? Result<void>() : work(offset, length);
        },
        [this, length](Result<void> result) { slice_done(length, std::move(result)); });
  }

  void slice_done(std::uint64_t length, Result<void> result) {
    if (!result) return finish(std::move(result));
    done_bytes_ += length;
    if (length > 0 && !report_progress()) return;
    // Cancelled by on_progress, when the slice had ended already.
    if (is_cancelled_) return finish(fail(ErrorCode::cancelled, "the operation was cancelled"));
    if (done_bytes_ == slices_.total_bytes) return finish({});
    next_slice();
  }

  // False where on_progress has destroyed this operation.
  bool report_progress() {
    const std::weak_ptr<int> alive = alive_;
    OnProgress on_progress = std::move(on_progress_);
    on_progress(done_bytes_);
    if (alive.expired()) return false;
    on_progress_ = std::move(on_progress);
    return true;
  }

  void finish(Result<void> result) {
    Done done = std::move(done_);
    done(std::move(result));  // may destroy this
  }

  Loop& loop_;
  Slices slices_;
  std::uint64_t done_bytes_ = 0;
  bool is_cancelled_ = false;
  Work work_;
  OnProgress on_progress_;
  Done done_;
  OperationPtr slice_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace

void offload_detached(Loop& loop, std::move_only_function<void()> work) {
  // Without an operation there is nothing that could cancel it.
  detail::PoolRequest::start(loop, std::make_shared<detail::PoolWork<void>>(
                                       [work = std::move(work)](CancelToken) mutable {
                                         work();
                                         return Result<void>();
                                       },
                                       [](const Result<void>&) {}));
}

OperationPtr offload_slices(Loop& loop, Slices slices,
                            std::function<Result<void>(std::uint64_t, std::uint64_t)> work,
                            std::move_only_function<void(std::uint64_t)> on_progress,
                            std::move_only_function<void(Result<void>)> done) {
  return std::make_unique<SlicedOperation>(loop, slices, std::move(work), std::move(on_progress),
                                           std::move(done));
}

}  // namespace ggufd::loop
