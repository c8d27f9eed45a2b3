// One daemon a runtime folder.
#pragma once

#include <string>

#include "protocol/error.h"
#include "store/file.h"

namespace ggufd {

// Held for the life of the process; the kernel lets go of it whatever the process dies of.
class InstanceLock {
 public:
  // Takes the lock file, gives it the mode 0600 and writes our pid into it. `busy`, with the holder's pid,
  // where another instance has it; `io` where the file is a link, is not a regular file of ours with this one
  // name, or cannot be opened.
  static Result<InstanceLock> take(const std::string& path);

 private:
  explicit InstanceLock(store::UniqueFd fd) : fd_(std::move(fd)) {}

  store::UniqueFd fd_;
};

}  // namespace ggufd
