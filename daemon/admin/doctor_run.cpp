#include "admin/doctor_run.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "doctor/examine.h"
#include "doctor/running.h"
#include "loop/offload.h"
#include "model/header_look.h"

namespace ggufd::admin {
namespace {

Error stopped_error() {
  return {ErrorCode::cancelled, "the daemon is stopping; `ggufctl doctor` looks without it, too"};
}

}  // namespace

// What is gathered on the loop, before the pool looks at the rest.
struct DoctorRuns::Run {
  std::vector<Waiter> waiters;
  doctor::Subject subject;
  std::size_t awaited = 1;  // answers; one for beginning
  loop::OperationPtr operation;
};

DoctorRuns::DoctorRuns(loop::Loop& loop, model::Models& models, engine::LlamaHost& llama,
                       const config::Config& config, config::PlaceOptions places)
    : loop_(loop), models_(models), llama_(llama), config_(config), places_(std::move(places)) {}

DoctorRuns::~DoctorRuns() = default;

void DoctorRuns::ask(Waiter waiter) {
  if (is_stopped_) return waiter(std::unexpected(stopped_error()));
  const bool is_first = !run_;
  if (is_first) run_ = std::make_shared<Run>();
  run_->waiters.push_back(std::move(waiter));
  if (is_first) begin();
}

void DoctorRuns::stop() {
  is_stopped_ = true;
  const std::shared_ptr<Run> ended = std::exchange(run_, nullptr);
  if (!ended) return;
  ended->operation.reset();
  for (Waiter& waiter : ended->waiters) waiter(std::unexpected(stopped_error()));
}

void DoctorRuns::begin() {
  Run& run = *run_;
  run.subject = {.places = places_,
                 .environment = config::process_environment(),
                 .uid = geteuid(),
                 .now = Timestamp::now(),
                 .running = config_};
  for (const config::ModelConfig& configured : config_.models) {
    model::Model* model = models_.find(configured.name);
    if (model == nullptr) continue;
    ++run.awaited;
    // Its end may come when this run has gone.
    model->plan(model::memory_settings(configured),
                [this, weak = std::weak_ptr(run_), name = configured.name](Result<answer::Plan> plan) {
                  const auto same = weak.lock();
                  if (!same) return;
                  same->subject.plans.push_back({name, std::move(plan)});
                  gathered_one();
                });
  }
  const auto path = engine::find_llama_server(config_.llama_server.binary, llama_.path_variable);
  if (!path) {
    run.subject.engine = std::unexpected(path.error());
  } else {
    ++run.awaited;
    run.operation = llama_.probe.probe(*path, [this, path = *path](Result<engine::LlamaBuild> build) {
      run_->subject.engine = map_result(std::move(build), [&](engine::LlamaBuild&& known) {
        return doctor::FoundEngine{path, std::move(known)};
      });
      gathered_one();
    });
  }
  gathered_one();
}

void DoctorRuns::gathered_one() {
  if (--run_->awaited == 0) examine();
}

void DoctorRuns::examine() {
  // As configured, not as they were answered.
  std::ranges::sort(run_->subject.plans, {}, [this](const doctor::PlannedModel& plan) {
    return std::ranges::find(config_.models, plan.name, &config::ModelConfig::name) - config_.models.begin();
  });
  run_->operation = loop::offload<answer::Doctor>(
      loop_,
      [subject = std::move(run_->subject)](loop::CancelToken) -> Result<answer::Doctor> {
        return doctor::examine(subject);
      },
      [this](Result<answer::Doctor> result) {
        const std::shared_ptr<Run> ended = std::exchange(run_, nullptr);
        answer::Doctor report = result ? std::move(*result) : answer::Doctor{.ok = false, .checks = {}};
        doctor::judge_models({.models = models_.statuses()}, report);
        for (Waiter& waiter : ended->waiters) waiter(report);
      });
}

}  // namespace ggufd::admin
