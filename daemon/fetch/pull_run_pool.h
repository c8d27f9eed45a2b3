// PullRun's way to the pool; for its own files only.
#pragma once

#include <utility>

#include "fetch/pull_run.h"
#include "loop/offload.h"

namespace ggufd::fetch {

template <class T>
void PullRun::on_pool(std::move_only_function<Result<T>()> work, std::move_only_function<void(T)> then) {
  operation_ = loop::offload<T>(
      services_.loop, [work = std::move(work)](loop::CancelToken) mutable { return work(); },
      [this, then = std::move(then)](Result<T> result) mutable {
        operation_.reset();
        if (!result) return stop(std::move(result.error()));
        then(std::move(*result));
      });
}

}  // namespace ggufd::fetch
