// What `ggufctl wait` waits for. Pure: frames in, an end out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "protocol/answer.h"
#include "protocol/error.h"
#include "protocol/status_event.h"

namespace ggufd::ctl {

// The model's `ready`, and nothing else, is success; its error and the daemon's stop are failures. The answer
// to `status` says how things stand, events say what changes.
class WaitGoal {
 public:
  // None: the default model, which the answer names.
  explicit WaitGoal(std::optional<std::string> model) : model_(std::move(model)) {}

  // Empty while there is no end yet; success, or the sentence that says why it never will be.
  using End = std::optional<Result<void>>;
  End apply(const StatusEvent& event);
  End apply(const answer::Status& status);

  // Something was heard of the model.
  bool is_known() const { return is_known_; }
  const std::optional<std::string>& model() const { return model_; }

 private:
  std::optional<std::string> model_;
  bool is_known_ = false;
  std::uint64_t answered_seq_ = 0;  // events up to this one are older than the answer
};

}  // namespace ggufd::ctl
