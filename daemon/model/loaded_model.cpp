#include "model/loaded_model.h"

#include <utility>

#include "loop/offload.h"
#include "model/page_cache.h"

namespace ggufd::model {

loop::OperationPtr give_back(loop::Loop& loop, LoadedModel loaded, bool drop_cache,
                             std::move_only_function<void()> on_done) {
  loaded.engine.reset();
  if (loaded.promise) loaded.promise->leaving();
  const auto shared = std::make_shared<LoadedModel>(std::move(loaded));
  return loop::offload<void>(
      loop,
      [shared, drop_cache](loop::CancelToken) {
        shared->mappings.clear();
        shared->kv_cache.reset();
        for (const auto& copy : shared->copies) {
          if (drop_cache && copy) drop_page_cache(copy->fd());
        }
        return Result<void>();
      },
      // The promise goes with the last holder, here on the loop.
      [shared, on_done = std::move(on_done)](Result<void>) mutable {
        *shared = LoadedModel();
        on_done();
      });
}

}  // namespace ggufd::model
