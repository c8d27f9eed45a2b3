// A memory plan as programs and people are told it: the answer to the request `plan`, and what would fit
// where it doesn't. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gguf/memory_plan.h"
#include "memory/budget.h"
#include "protocol/answer.h"

namespace ggufd::memory {

// `room` is null where the machine does not tell its memory; what depends on it is then null. The errors are
// MemoryPlanner::plan's.
Result<answer::Plan> plan_answer(const gguf::MemoryPlanner& planner, const gguf::MemorySettings& settings,
                                 const Room* room);

// A way to make a model smaller.
struct Alternative {
  std::string type_k;
  std::string type_v;
  std::uint64_t largest_n_ctx = 0;  // tokens; not 0

  friend bool operator==(const Alternative&, const Alternative&) = default;
};

// The largest contexts that fit into `available_bytes`: with the cache types of the settings, then with
// smaller ones where these allow a larger one. Empty where nothing fits, or it cannot be known.
std::vector<Alternative> alternatives(const gguf::MemoryPlanner& planner,
                                      const gguf::MemorySettings& settings, std::uint64_t available_bytes);

// The sentence of out_of_memory_budget: what is needed, what is left, and what would fit.
std::string shortage(const std::string& model, const gguf::MemoryPlanner& planner,
                     const gguf::MemorySettings& settings, const Need& need, const Room& room);

}  // namespace ggufd::memory
