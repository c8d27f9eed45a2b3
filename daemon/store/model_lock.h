// locks/<name>.lock: held by the one process that brings a model up or changes what its name stands for.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "protocol/error.h"
#include "store/file.h"

namespace ggufd::store {

// Destroyed, it lets go. The file stays: removing a lock's file would let two holders have one each.
class ModelLock {
 public:
  // Nothing where another holder has it. `bad_field` for a name that is none.
  static Result<std::optional<ModelLock>> try_lock(const std::string& store_root, std::string_view name);

 private:
  explicit ModelLock(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace ggufd::store
