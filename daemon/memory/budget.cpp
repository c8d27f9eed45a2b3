#include "memory/budget.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

namespace ggufd::memory {
namespace {

std::uint64_t add(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::uint64_t>::max() : sum;
}

std::uint64_t less(std::uint64_t from, std::uint64_t bytes) {
  return from - std::min(from, bytes);
}

}  // namespace

std::uint64_t Need::anonymous_bytes() const {
  return add(kv_bytes.value_or(0), compute_bytes.value_or(0));
}

std::uint64_t Need::bytes() const {
  return add(weights_bytes, anonymous_bytes());
}

Need need_of(const gguf::MemoryPlan& plan) {
  Need need{.weights_bytes = plan.weights_bytes, .kv_bytes = {}, .compute_bytes = plan.compute_bytes};
  if (plan.kv) need.kv_bytes = plan.kv->bytes();
  return need;
}

std::uint64_t Held::bytes() const {
  return add(file_bytes, promised_bytes);
}

Held& Held::operator+=(const Held& other) {
  file_bytes = add(file_bytes, other.file_bytes);
  promised_bytes = add(promised_bytes, other.promised_bytes);
  unmapped_bytes = add(unmapped_bytes, other.unmapped_bytes);
  return *this;
}

std::uint64_t Room::left_below(const Bound& limit) const {
  const std::uint64_t own = limit.is_address_space ? own_mapped_bytes : own_anonymous_bytes;
  const std::uint64_t others = limit.is_address_space ? held.unmapped_bytes : held.bytes();
  return less(add(limit.bytes, own), add(headroom_bytes, others));
}

const Bound& Room::tightest() const {
  return *std::ranges::min_element(limits, {}, [this](const Bound& limit) { return left_below(limit); });
}

std::uint64_t Room::available_bytes() const {
  return left_below(tightest());
}

std::string amount(std::uint64_t bytes) {
  constexpr std::uint64_t mib = std::uint64_t{1} << 20;
  constexpr std::uint64_t gib = std::uint64_t{1} << 30;
  if (bytes < mib) return fmt::format("{} B", bytes);
  if (bytes < gib) return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / static_cast<double>(mib));
  return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / static_cast<double>(gib));
}

std::string to_string(const Need& need) {
  std::string text = fmt::format("{}: weights {}", amount(need.bytes()), amount(need.weights_bytes));
  if (need.kv_bytes) text += ", KV cache " + amount(*need.kv_bytes);
  if (need.compute_bytes) text += ", compute " + amount(*need.compute_bytes);
  return text;
}

std::string to_string(const Room& room) {
  const Bound& limit = room.tightest();
  const std::uint64_t held = limit.is_address_space ? room.held.unmapped_bytes : room.held.bytes();
  const std::uint64_t own = limit.is_address_space ? room.own_mapped_bytes : room.own_anonymous_bytes;
  std::string text =
      fmt::format("{} left: {} {}", amount(room.available_bytes()), limit.name, amount(limit.bytes));
  if (own > 0) text += fmt::format(", and {} that it has taken already", amount(own));
  if (room.headroom_bytes > 0) text += fmt::format(", less {} of headroom", amount(room.headroom_bytes));
  if (held > 0) text += fmt::format(", less {} that other models hold", amount(held));
  return text;
}

}  // namespace ggufd::memory
