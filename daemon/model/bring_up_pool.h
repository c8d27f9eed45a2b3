// BringUp's way to the pool; for its own files only.
#pragma once

#include <utility>

#include "model/bring_up.h"

namespace ggufd::model {

template <class T>
void BringUp::on_pool(typename std::move_only_function<Result<T>()> work,
                      std::move_only_function<void(T)> then) {
  begin(loop::offload<T>(
      services_.loop, [work = std::move(work)](loop::CancelToken) mutable { return work(); },
      [this, then = std::move(then)](Result<T> result) mutable {
        operation_.reset();
        if (!result) return stop(std::move(result.error()));
        then(std::move(*result));
      }));
}

}  // namespace ggufd::model
