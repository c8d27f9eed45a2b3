#include "memory/plan_answer.h"

#include <fmt/core.h>

#include <array>
#include <string_view>
#include <utility>

namespace ggufd::memory {
namespace {

// Smaller than f16, in the order in which they cost quality.
constexpr auto smaller_types = std::to_array<std::string_view>({"q8_0", "q4_0"});

std::optional<std::uint32_t> narrow(std::optional<std::uint64_t> tokens) {
  if (!tokens || *tokens > UINT32_MAX) return std::nullopt;
  return static_cast<std::uint32_t>(*tokens);
}

answer::PlanKv kv_answer(const gguf::KvPlan& kv) {
  return {.attention_bytes = kv.attention_bytes,
          .recurrent_bytes = kv.recurrent_bytes,
          .cells = kv.cells,
          .swa_cells = kv.swa_cells,
          .streams = kv.streams};
}

// What of the answer depends on the machine.
void add_room(answer::Plan& answer, const gguf::MemoryPlanner& planner, const gguf::MemorySettings& settings,
              const Need& need, const Room& room) {
  for (const Bound& limit : room.limits) answer.limits.push_back({limit.name, limit.bytes});
  const std::uint64_t available = room.available_bytes();
  answer.available_bytes = {available};
  answer.headroom_bytes = room.headroom_bytes;
  answer.held_bytes = room.held.bytes();
  // What is known may be too much already; that it is enough takes all of it.
  if (need.bytes() > available) {
    answer.fits = {false};
  } else if (answer.total_bytes.value) {
    answer.fits = {true};
  }
  answer.largest_n_ctx = {narrow(planner.largest_n_ctx(settings, available))};
}

}  // namespace

Result<answer::Plan> plan_answer(const gguf::MemoryPlanner& planner, const gguf::MemorySettings& settings,
                                 const Room* room) {
  const auto plan = planner.plan(settings);
  if (!plan) return std::unexpected(plan.error());
  const Need need = need_of(*plan);
  answer::Plan answer{.architecture = planner.architecture(),
                      .name = {},
                      .n_ctx = plan->n_ctx,
                      .n_seq = settings.n_seq,
                      .kv_unified = settings.kv_unified,
                      .kv_type_k = settings.type_k,
                      .kv_type_v = settings.type_v,
                      .n_ubatch = settings.n_ubatch,
                      .weights_bytes = plan->weights_bytes,
                      .kv_bytes = {need.kv_bytes},
                      .kv = {},
                      .compute_bytes = {plan->compute_bytes},
                      .total_bytes = {plan->total_bytes}};
  if (!planner.name().empty()) answer.name = {planner.name()};
  if (plan->kv) {
    answer.kv = {kv_answer(*plan->kv)};
  } else {
    answer.kv_unknown = plan->kv_unknown;
  }
  if (room != nullptr) add_room(answer, planner, settings, need, *room);
  return answer;
}

std::vector<Alternative> alternatives(const gguf::MemoryPlanner& planner,
                                      const gguf::MemorySettings& settings, std::uint64_t available_bytes) {
  std::vector<Alternative> found;
  const auto try_types = [&](std::string_view type_k, std::string_view type_v) {
    gguf::MemorySettings tried = settings;
    tried.type_k = type_k;
    tried.type_v = type_v;
    const std::uint64_t n_ctx = planner.largest_n_ctx(tried, available_bytes).value_or(0);
    if (n_ctx == 0 || (!found.empty() && n_ctx <= found.back().largest_n_ctx)) return;
    found.push_back({std::move(tried.type_k), std::move(tried.type_v), n_ctx});
  };
  try_types(settings.type_k, settings.type_v);
  for (const std::string_view type : smaller_types) try_types(type, type);
  return found;
}

std::string shortage(const std::string& model, const gguf::MemoryPlanner& planner,
                     const gguf::MemorySettings& settings, const Need& need, const Room& room) {
  std::string text =
      fmt::format("{} needs at least {}; there is {}", model, to_string(need), to_string(room));
  const auto smaller = alternatives(planner, settings, room.available_bytes());
  if (smaller.empty()) {
    return text + "; not even the shortest context would fit: unload another model, or choose a smaller one";
  }
  std::string_view separator = "; what would fit: ";
  for (const Alternative& each : smaller) {
    text += fmt::format("{}n_ctx {} with a cache of {}", separator, each.largest_n_ctx, each.type_k);
    if (each.type_v != each.type_k) text += "/" + each.type_v;
    separator = ", ";
  }
  return text;
}

}  // namespace ggufd::memory
