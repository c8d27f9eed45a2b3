// Any bytes as a GGUF: reading, validating, looking up and planning must end, in bounds, with a report that
// is consistent in itself. Run: fuzz_gguf CORPUS -rss_limit_mb=2048
#include <algorithm>
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

// Every string and element is touched, so that a view out of bounds is seen.
std::uint64_t touch(const gguf::Header& header) {
  std::uint64_t sum = header.parameter_count() ^ header.tensor_bytes() ^ header.vocabulary_size();
  for (const gguf::Key& key : header.keys) {
    for (const char c : key.name) sum += static_cast<unsigned char>(c);
    for (const std::string_view text : key.value.strings())
      sum += text.empty() ? 1 : static_cast<unsigned>(text.back());
    sum += key.value.as<std::string_view>().value_or("").size() + key.value.as<std::uint32_t>().value_or(0);
    if (key.value.count() > 0) {
      sum += key.value.element<std::uint8_t>(key.value.count() - 1).value_or(0);
      sum += key.value.element<std::uint64_t>(key.value.count() - 1).value_or(0);
      require(!key.value.element<std::uint64_t>(key.value.count()).has_value());
    }
    require(header.find_key(key.name) != nullptr);
  }
  for (const gguf::Tensor& tensor : header.tensors) {
    sum += tensor.dimensions().size() + tensor.name.size();
    require(header.find_tensor(tensor.name) != nullptr);
  }
  return sum;
}

void check(const gguf::Report& report, std::size_t given, std::uint64_t file_bytes) {
  require(report.needs_bytes == 0 || (report.needs_bytes > given && report.needs_bytes <= file_bytes));
  require(report.defects.list().size() <= gguf::Defects::limit);
  require(report.defects.found() >= report.defects.list().size());
  if (report.sound()) {
    require(report.header.end_of_data <= file_bytes || report.header.tensors.empty());
    for (const gguf::Tensor& tensor : report.header.tensors)
      require(tensor.type != nullptr && tensor.bytes > 0);
  }
  if (!report.defects.empty()) require(!gguf::to_error(report.defects).message.empty());
}

void plan(const gguf::Header& header) {
  for (const char* type : {"f16", "q8_0"}) {
    for (const bool unified : {true, false}) {
      const gguf::MemorySettings settings{
          .n_ctx = unified ? 0U : 70000U, .n_seq = 3, .kv_unified = unified, .type_k = type, .type_v = type};
      const auto planned = gguf::plan_memory(header, settings);
      if (!planned) continue;
      require(planned->kv.has_value() == planned->kv_unknown.empty());
      require(planned->n_ctx % gguf::context_multiple == 0);
    }
  }
  const auto largest = gguf::largest_n_ctx(header, {}, std::uint64_t{1} << 34);
  require(!largest || *largest % gguf::context_multiple == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  for (const std::uint64_t file_bytes :
       {std::uint64_t{size}, std::uint64_t{size} + 100000, UINT64_MAX, std::uint64_t{size} / 2}) {
    gguf::Report report = gguf::read(bytes, file_bytes);
    check(report, std::min<std::uint64_t>(size, file_bytes), file_bytes);
    volatile std::uint64_t sink = touch(report.header);
    (void)sink;
    gguf::validate(report.header, report.defects);
    plan(report.header);
    (void)gguf::split_of(report.header);
    gguf::check_shards(std::span(&report.header, 1), report.defects);
    require(gguf::read_model(bytes, file_bytes).has_value() == gguf::inspect(bytes, file_bytes).sound());
  }
  return 0;
}
