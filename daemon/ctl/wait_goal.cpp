#include "ctl/wait_goal.h"

#include <fmt/core.h>

#include <algorithm>

#include "ctl/status_report.h"

namespace ggufd::ctl {

WaitGoal::End WaitGoal::apply(const StatusEvent& event) {
  if (std::holds_alternative<status::Draining>(event.status)) {
    return fail(ErrorCode::cancelled, "the daemon is stopping");
  }
  if (event.seq != 0 && event.seq <= answered_seq_) return std::nullopt;
  // A daemon that has one model only need not name it.
  if (event.model != model_) return std::nullopt;
  is_known_ = is_known_ || model_.has_value();
  if (std::holds_alternative<status::Ready>(event.status)) return Result<void>();
  if (const auto* failure = std::get_if<status::Failed>(&event.status)) {
    return fail(failure->code, failure->message);
  }
  return std::nullopt;
}

WaitGoal::End WaitGoal::apply(const answer::Status& status) {
  is_known_ = true;
  answered_seq_ = status.seq;
  if (!model_) model_ = default_model_of(status);
  if (!model_) return fail(ErrorCode::unknown_model, "the daemon has no model");
  const auto model = std::find_if(status.models.begin(), status.models.end(),
                                  [&](const answer::ModelStatus& m) { return m.name == *model_; });
  if (model == status.models.end()) {
    return fail(ErrorCode::unknown_model, fmt::format("the daemon has no model {}", *model_));
  }
  if (model->state == ModelState::ready) return Result<void>();
  if (model->state == ModelState::error) {
    return fail(ErrorCode::internal,
                model->availability.message.value.value_or(fmt::format("{} is in error", *model_)));
  }
  return std::nullopt;
}

}  // namespace ggufd::ctl
