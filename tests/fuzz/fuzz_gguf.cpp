// Any bytes as a GGUF: reading, validating, looking up and planning must end, in bounds, with a report that
// is consistent in itself, of the whole file and of its first part.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "gguf/memory_plan.h"
#include "gguf/split.h"
#include "gguf/validate.h"

namespace {

using namespace ggufd;

void require(bool condition) {
  if (!condition) std::abort();
}

template <class T>
std::uint64_t touch_number(const gguf::Key& key) {
  const std::uint64_t count = key.value.count();
  std::uint64_t sum = key.value.as<T>().has_value() ? 1 : 0;
  for (const std::uint64_t index : {std::uint64_t{0}, count / 2, count - 1})
    sum += key.value.element<T>(index).value_or(T{}) != T{} ? 1 : 0;
  require(!key.value.element<T>(count).has_value());
  return sum;
}

std::uint64_t touch_strings(const gguf::Key& key) {
  const gguf::StringArray strings = key.value.strings();
  std::uint64_t sum = 0;
  std::uint64_t count = 0;
  for (const std::string_view text : strings) {
    if (!text.empty())
      sum += static_cast<unsigned char>(text.front()) + static_cast<unsigned char>(text.back());
    ++count;
  }
  require(count == strings.size() && !strings.at(count).has_value());
  require(strings.empty() == !strings.at(0).has_value());
  return sum;
}

// Every string and element is touched, so that a view out of bounds is seen.
std::uint64_t touch(const gguf::Header& header) {
  std::uint64_t sum = header.parameter_count() ^ header.tensor_bytes() ^ header.vocabulary_size();
  for (const gguf::Key& key : header.keys) {
    for (const char c : key.name) sum += static_cast<unsigned char>(c);
    for (const char c : key.value.as<std::string_view>().value_or("")) sum += static_cast<unsigned char>(c);
    sum += touch_strings(key);
    sum += touch_number<std::uint8_t>(key) + touch_number<std::int8_t>(key);
    sum += touch_number<std::uint16_t>(key) + touch_number<std::int16_t>(key);
    sum += touch_number<std::uint32_t>(key) + touch_number<std::int32_t>(key) + touch_number<float>(key);
    sum += touch_number<std::uint64_t>(key) + touch_number<std::int64_t>(key) + touch_number<double>(key);
    sum += touch_number<bool>(key);
    require(header.find_key(key.name) != nullptr);
  }
  for (const gguf::Tensor& tensor : header.tensors) {
    for (const char c : tensor.name) sum += static_cast<unsigned char>(c);
    sum += tensor.dimensions().size();
    require(header.find_tensor(tensor.name) != nullptr);
  }
  return sum;
}

void check_defects(const gguf::Report& report, std::size_t given) {
  require(report.defects.list().size() <= gguf::Defects::limit);
  require(report.defects.found() >= report.defects.list().size());
  for (const gguf::Defect& defect : report.defects.list()) {
    require(!defect.message.empty() && defect.offset <= given);
    require(std::ranges::all_of(defect.where, [](char c) { return c >= ' ' && c <= '~'; }));
  }
  if (!report.defects.empty()) require(!gguf::to_error(report.defects).message.empty());
}

void check(const gguf::Report& report, std::size_t given, std::uint64_t file_bytes) {
  require(report.needs_bytes == 0 || (report.needs_bytes > given && report.needs_bytes <= file_bytes));
  check_defects(report, given);
  if (!report.sound()) return;
  require(report.header.end_of_data <= file_bytes || report.header.tensors.empty());
  for (const gguf::Tensor& tensor : report.header.tensors)
    require(tensor.type != nullptr && tensor.bytes > 0);
}

void check_kv(const gguf::KvPlan& kv) {
  std::uint64_t attention = 0;
  std::uint64_t recurrent = 0;
  for (const gguf::LayerKv& layer : kv.layers) {
    require(layer.k_type != nullptr && layer.v_type != nullptr);
    const std::uint64_t heads = layer.heads;
    require(layer.k_row_bytes == gguf::row_bytes(*layer.k_type, heads * layer.k_head_elements));
    require(layer.v_row_bytes == gguf::row_bytes(*layer.v_type, heads * layer.v_head_elements));
    require(layer.cells % gguf::context_multiple == 0 && layer.cells > 0);
    attention += (layer.k_row_bytes + layer.v_row_bytes) * layer.cells * layer.streams;
  }
  for (const gguf::LayerState& state : kv.states)
    recurrent += (state.r_row_bytes + state.s_row_bytes) * state.rows;
  require(attention == kv.attention_bytes && recurrent == kv.recurrent_bytes);
  require(kv.bytes() >= attention);
}

void check_plan(const gguf::MemoryPlanner& planner, const gguf::MemorySettings& settings) {
  const auto plan = planner.plan(settings);
  if (!plan) {
    require(!plan.error().message.empty());
    return;
  }
  require(plan->kv.has_value() == plan->kv_unknown.empty());
  require(plan->n_ctx % gguf::context_multiple == 0);
  if (plan->kv) check_kv(*plan->kv);
  if (plan->total_bytes)
    require(*plan->total_bytes == plan->weights_bytes + plan->kv->bytes() + *plan->compute_bytes);
}

// The largest context fits, and the next one does not.
void check_largest(const gguf::MemoryPlanner& planner, gguf::MemorySettings settings, std::uint64_t budget) {
  const auto largest = planner.largest_n_ctx(settings, budget);
  if (!largest) return;
  require(*largest % gguf::context_multiple == 0);
  const auto total = [&](std::uint64_t n_ctx) {
    settings.n_ctx = static_cast<std::uint32_t>(n_ctx);
    const auto plan = planner.plan(settings);
    return plan ? plan->total_bytes.value_or(UINT64_MAX) : UINT64_MAX;
  };
  if (*largest > 0) require(total(*largest) <= budget);
  const std::uint64_t next = *largest + gguf::context_multiple;
  if (next <= planner.context_length()) require(total(next) > budget);
}

void plan(const gguf::Header& header) {
  const gguf::MemoryPlanner planner(header, header.keys.size());
  require(planner.architecture().size() <= 4 * gguf::max_architecture_bytes);
  check_plan(planner, {});
  check_plan(planner, {.n_ctx = 70000, .n_seq = 3, .kv_unified = false, .type_k = "q8_0", .type_v = "q4_0"});
  check_plan(
      planner,
      {.n_ctx = UINT32_MAX, .n_seq = 256, .type_k = "f32", .type_v = "iq4_nl", .n_ubatch = UINT32_MAX});
  check_plan(planner, {.n_ctx = 1, .n_seq = 256, .kv_unified = false, .swa_full = true});
  check_plan(planner, {.n_seq = 0, .type_k = "none"});
  check_largest(planner, {}, std::uint64_t{1} << 34);
  check_largest(planner, {.n_seq = 4, .kv_unified = false, .type_k = "q8_0"}, header.tensor_bytes());
}

gguf::Report inspect(std::span<const std::byte> bytes, std::uint64_t file_bytes) {
  gguf::Report report = gguf::inspect(bytes, file_bytes);
  check(report, std::min<std::uint64_t>(bytes.size(), file_bytes), file_bytes);
  const volatile std::uint64_t sink = touch(report.header);
  (void)sink;
  return report;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  gguf::Report whole = inspect(bytes, size);
  plan(whole.header);
  (void)gguf::split_of(whole.header);
  const std::array<gguf::Header, 2> shards = {whole.header, whole.header};
  gguf::check_shards(shards, whole.defects);

  // A sound file's first part lacks bytes, and nothing else is wrong with it.
  const bool sound = gguf::read_model(bytes, size).has_value();
  for (const std::size_t part : {size / 2, size - size / 8}) {
    const gguf::Report first = inspect(bytes.first(part), size);
    if (sound) require(first.defects.empty());
  }
  // A file that is larger or smaller than the bytes at hand.
  (void)inspect(bytes, std::uint64_t{size} + 100000);
  (void)inspect(bytes, UINT64_MAX);
  gguf::Report cut = inspect(bytes, std::uint64_t{size} / 2);
  gguf::validate(cut.header, cut.defects);  // also of a header that is not whole
  plan(cut.header);
  return 0;
}
