// Something that was begun and will end: a timer, a transfer, work on the pool, a child.
#pragma once

#include <memory>

namespace ggufd::loop {

// The owner holds the operation while it runs and is told the end through the callback that it gave.
//   cancel()    asks it to end soon; it still ends through its callback, with the error `cancelled`, never
//   from inside
//               cancel() itself. Asking again, or after the end, does nothing.
//   destroying  cancels it and drops the callback: its owner has gone and will not be called any more.
class Operation {
 public:
  Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  virtual ~Operation() = default;

  virtual void cancel() = 0;
};

using OperationPtr = std::unique_ptr<Operation>;

}  // namespace ggufd::loop
