// Where a model's news goes.
#pragma once

#include <string>

#include "protocol/status_event.h"

namespace ggufd::model {

// Implemented by the status log; a fake stands here in tests.
class EventSink {
 public:
  // Numbers, stamps and publishes the status as an event of that model.
  virtual void publish(const std::string& model, Status status) = 0;
  // There is no model of that name any more: who asks for what is now hears nothing of it. One may come back.
  virtual void forget(const std::string& model) = 0;

 protected:
  ~EventSink() = default;
};

}  // namespace ggufd::model
