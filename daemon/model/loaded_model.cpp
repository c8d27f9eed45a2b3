#include "model/loaded_model.h"

#include <utility>

#include "loop/offload.h"
#include "model/page_cache.h"

namespace ggufd::model {
namespace {

class GiveBack final : public loop::Operation {
 public:
  GiveBack(loop::Loop& loop, LoadedModel loaded, bool drop_cache, std::move_only_function<void()> on_done)
      : loop_(loop),
        loaded_(std::make_shared<LoadedModel>(std::move(loaded))),
        drop_cache_(drop_cache),
        on_done_(std::move(on_done)) {
    if (loaded_->promise) loaded_->promise->leaving();
    if (!loaded_->engine) {
      free_memory();
      return;
    }
    loaded_->engine->stop([this] {
      // It is calling, and ends when the turn does.
      loop_.at_end_of_turn([ended = std::shared_ptr<engine::Engine>(std::move(loaded_->engine))] {});
      free_memory();
    });
  }

  // Nothing of it may be left out.
  void cancel() override {}

 private:
  void free_memory() {
    freeing_ = loop::offload<void>(
        loop_,
        [loaded = loaded_, drop_cache = drop_cache_](loop::CancelToken) {
          loaded->mappings.clear();
          loaded->kv_cache.reset();
          for (const auto& copy : loaded->copies) {
            if (drop_cache && copy) drop_page_cache(copy->fd());
          }
          return Result<void>();
        },
        // The promise goes with the last holder, here on the loop.
        [this](const Result<void>&) {
          *loaded_ = LoadedModel();
          std::exchange(on_done_, nullptr)();  // may destroy this
        });
  }

  loop::Loop& loop_;
  std::shared_ptr<LoadedModel> loaded_;
  const bool drop_cache_;
  std::move_only_function<void()> on_done_;
  loop::OperationPtr freeing_;
};

}  // namespace

loop::OperationPtr give_back(loop::Loop& loop, LoadedModel loaded, bool drop_cache,
                             std::move_only_function<void()> on_done) {
  return std::make_unique<GiveBack>(loop, std::move(loaded), drop_cache, std::move(on_done));
}

}  // namespace ggufd::model
