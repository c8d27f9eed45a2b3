// The memory plan of a configured model, loaded or not, for the request `plan`.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "gguf/memory_plan.h"
#include "loop/operation.h"
#include "model/services.h"
#include "protocol/answer.h"

namespace ggufd::model {

// Reads the header of the model's files, unless its planner is at hand, and the machine's memory, on the
// pool. What other models hold or have been promised is taken off. Errors: `not_in_store` where the files are
// not here, those of map_model() and of MemoryPlanner::plan().
[[nodiscard]] loop::OperationPtr plan_model(Services& services, const config::ModelConfig& model,
                                            std::optional<gguf::MemoryPlanner> planner,
                                            gguf::MemorySettings settings,
                                            std::move_only_function<void(Result<answer::Plan>)> on_done);

}  // namespace ggufd::model
