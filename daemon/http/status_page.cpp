#include "http/status_page.h"

#include <algorithm>
#include <utility>

namespace ggufd::http {
namespace {

std::vector<memory::Bound> without_address_space(std::vector<memory::Bound> bounds) {
  std::erase_if(bounds, [](const memory::Bound& bound) { return bound.is_address_space; });
  return bounds;
}

}  // namespace

MachineMemory machine_memory(const MemoryNumbers* numbers) {
  MachineMemory memory;
  if (numbers == nullptr) return memory;
  const auto left = without_address_space(numbers->room.limits);
  memory.total_bytes.value = tightest(without_address_space(hard_limits(numbers->limits))).bytes;
  memory.available_bytes.value = tightest(left).bytes;
  memory.held_bytes = numbers->room.held.bytes();
  memory.headroom_bytes = numbers->room.headroom_bytes;
  for (const memory::Bound& bound : left) memory.limits.push_back({bound.name, bound.bytes});
  return memory;
}

Page status_page(const StatusDocument& document) {
  return {.content_type = json_type, .body = to_json(document) + "\n"};
}

}  // namespace ggufd::http
