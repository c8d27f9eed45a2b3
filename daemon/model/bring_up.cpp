#include "model/bring_up.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace ggufd::model {

// The bring-up in its order; the steps are in bring_up_copy.cpp, from `map` on in bring_up_memory.cpp, those
// of the engine in bring_up_engine.cpp. check_local and verify may jump back; every other step leads to the
// next.
const BringUp::Step BringUp::steps[] = {
    &BringUp::check_local,        // is it here, and is it known to be good?
    &BringUp::choose_engine,      // is the program there that is to run it?
    &BringUp::pull,               // what is not here is fetched, verified on the way
    &BringUp::keep,               // the store is told of it: manifest, links to a split model's shards
    &BringUp::verify,             // what is here and not known to be good is hashed
    &BringUp::map,                // the verified descriptors are mapped and their headers read
    &BringUp::pin,                // local files pinned on first use: the manifest says what they are
    &BringUp::admit,              // is there memory for all of it?
    &BringUp::prefault,           // its pages are brought into memory
    &BringUp::lock_pages,         // and kept there, where the configuration says so
    &BringUp::allocate_kv_cache,  // as the memory plan says
    &BringUp::start_engine,       // last: it finds everything in place
};

BringUp::BringUp(Services& services, const config::ModelConfig& model, BringUpCallbacks callbacks)
    : services_(services), model_(model), callbacks_(std::move(callbacks)), deadline_(services.loop, [this] {
        if (is_cancelled_) return;
        reason_ = Error{ErrorCode::load_timeout,
                        fmt::format("{} was not ready within load_timeout_s, {} s after it was mapped",
                                    model_.name, model_.load_timeout_s)};
        cancel();
      }) {
  run(steps[0]);
}

void BringUp::run(Step step) {
  current_ = step;
  (this->*step)();
}

void BringUp::advance() {
  if (is_cancelled_) return stop(fail(ErrorCode::cancelled, "").error());
  const Step* next = std::ranges::find(steps, current_) + 1;
  if (next == std::end(steps)) return finish(std::move(loaded_));
  run(*next);
}

void BringUp::go_to(Step step) {
  if (is_cancelled_) return stop(fail(ErrorCode::cancelled, "").error());
  run(step);
}

void BringUp::cancel() {
  if (std::exchange(is_cancelled_, true)) return;
  if (loaded_.promise) loaded_.promise->leaving();
  // Without an operation a callback asks for it: the step that begins next ends at once.
  if (operation_) return operation_->cancel();
  if (loaded_.engine) stop({});
}

void BringUp::stop(Error error) {
  if (is_cancelled_) {
    error = reason_.value_or(
        Error{ErrorCode::cancelled, fmt::format("the load of {} was cancelled", model_.name)});
  }
  deadline_.stop();
  copies_.clear();
  engine_status();  // remembered
  operation_ =
      give_back(services_.loop, std::exchange(loaded_, {}), services_.config.drop_cache,
                [this, error = std::move(error)]() mutable { finish(std::unexpected(std::move(error))); });
}

void BringUp::finish(Result<LoadedModel> result) {
  deadline_.stop();
  std::exchange(callbacks_.on_done, nullptr)(std::move(result));  // may destroy this
}

// A callback may have cancelled the step that is about to begin.
void BringUp::begin(loop::OperationPtr operation) {
  operation_ = std::move(operation);
  if (is_cancelled_) operation_->cancel();
}

void BringUp::in_slices(loop::Slices slices, std::function<Result<void>(std::uint64_t, std::uint64_t)> work,
                        std::move_only_function<void(std::uint64_t)> on_progress,
                        std::move_only_function<void()> then) {
  begin(loop::offload_slices(services_.loop, slices, std::move(work), std::move(on_progress),
                             [this, then = std::move(then)](Result<void> result) mutable {
                               operation_.reset();
                               if (!result) return stop(std::move(result.error()));
                               then();
                             }));
}

}  // namespace ggufd::model
