#include "model/staging.h"

#include <fmt/core.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "engine/llama_program.h"
#include "memory/budget.h"
#include "model/header_look.h"
#include "model/plan_job.h"

namespace ggufd::model {
namespace {

Error shortage(const answer::Plan& plan) {
  std::string sentence = fmt::format("it would take {}, and {} would be there for it",
                                     memory::amount(plan.total_bytes.value.value_or(0)),
                                     memory::amount(plan.available_bytes.value.value_or(0)));
  const std::uint32_t largest = plan.largest_n_ctx.value.value_or(0);
  if (largest > 0) sentence += fmt::format("; n_ctx can be {} at most", largest);
  return {ErrorCode::out_of_memory_budget, std::move(sentence)};
}

}  // namespace

Staging::Staging(Services& services, const config::ModelConfig& next, bool must_have_engine,
                 PullJobCallbacks callbacks)
    : services_(services), next_(next), callbacks_(std::move(callbacks)) {
  if (must_have_engine) {
    find_engine();
  } else {
    pull();
  }
}

void Staging::find_engine() {
  step_ = engine::find_llama_program(services_.llama, services_.config.llama_server.binary,
                                     [this](const Result<engine::LlamaProgram>& program) {
                                       end_step();
                                       if (!program) return end(std::unexpected(program.error()));
                                       pull();
                                     });
}

void Staging::pull() {
  step_ = std::make_unique<PullJob>(
      services_, next_, PullJob::Name::reloaded,
      PullJobCallbacks{.on_phase = callbacks_.on_phase,
                       .on_warning = callbacks_.on_warning,
                       .on_done = [this](Result<answer::Blob> blob) { pulled(std::move(blob)); }});
}

void Staging::pulled(Result<answer::Blob> blob) {
  end_step();
  if (!blob) return end(std::move(blob));
  blob_ = std::move(*blob);
  step_ = plan_model(services_, next_, std::nullopt, memory_settings(next_),
                     [this](const Result<answer::Plan>& plan) { planned(plan); });
}

void Staging::planned(const Result<answer::Plan>& plan) {
  end_step();
  if (!plan) return end(std::unexpected(plan.error()));
  const bool may_evict = services_.config.evict == config::Evict::lru;
  if (plan->fits.value == false && !may_evict) return end(std::unexpected(shortage(*plan)));
  end(std::move(blob_));
}

// The step is calling: it is destroyed when the turn ends, not under its own feet.
void Staging::end_step() {
  services_.loop.at_end_of_turn([ended = std::move(step_)] {});
}

void Staging::end(Result<answer::Blob> result) {
  std::exchange(callbacks_.on_done, nullptr)(std::move(result));
}

}  // namespace ggufd::model
