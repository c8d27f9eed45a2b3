// How a pull ends, and what it leaves behind.
#include <spdlog/spdlog.h>

#include <utility>

#include "fetch/pull_run.h"
#include "loop/offload.h"

namespace ggufd::fetch {

// Cancelled before anything has come, it leaves nothing.
PullRun::~PullRun() {
  if (!has_empty_partial()) return;
  operation_.reset();
  download_.reset();
  writer_.reset();
  if (partial_.use_count() > 1) return;  // a job writes to it
  loop::offload_detached(
      services_.loop, [partial = std::move(partial_)] { static_cast<void>(std::move(*partial).discard()); });
}

void PullRun::finish(Pulled pulled) {
  model_lock_.reset();
  partial_.reset();
  std::exchange(callbacks_.on_done, nullptr)(std::move(pulled));  // may destroy this
}

// Nothing has come, or nothing that could be gone on with.
bool PullRun::has_empty_partial() const {
  if (!partial_ || comparison_) return false;
  return writer_ ? writer_->accepted().size() == 0 : !journal_ && !identity_.size_bytes;
}

// An empty partial would be told as a download that waits to be gone on with: it is removed first.
void PullRun::stop(Error error) {
  if (!callbacks_.on_done || is_stopping_) return;
  timer_.stop();
  if (!has_empty_partial()) return tell(std::move(error));
  is_stopping_ = true;
  download_.reset();
  if (!writer_) return discard_then_tell(std::move(error));
  writer_->abandon([this, error = std::move(error)] {
    services_.loop.at_end_of_turn([ended = std::shared_ptr<FileWriter>(std::move(writer_))] {});
    discard_then_tell(error);
  });
}

void PullRun::discard_then_tell(Error error) {
  operation_ = loop::offload<void>(
      services_.loop,
      [partial = std::move(partial_)](loop::CancelToken) { return std::move(*partial).discard(); },
      [this, error = std::move(error)](const Result<void>& discarded) mutable {
        operation_.reset();
        if (!discarded) spdlog::warn("{}: {}", label(), discarded.error().message);
        tell(std::move(error));
      });
}

void PullRun::tell(Error error) {
  std::exchange(callbacks_.on_done, nullptr)(std::unexpected(std::move(error)));  // may destroy this
}

}  // namespace ggufd::fetch
