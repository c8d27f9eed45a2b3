#include "model/header_look.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "gguf/split.h"
#include "gguf/validate.h"
#include "memory/budget.h"
#include "store/file.h"

namespace ggufd::model {
namespace {

using fetch::Arrived;
using fetch::Verdict;

// Stands for the size of a file that the server does not tell; no file is as long.
constexpr std::uint64_t unknown_file_bytes = std::numeric_limits<std::int64_t>::max();

std::uint64_t add(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::uint64_t>::max() : sum;
}

class Look {
 public:
  Look(const LookSettings& settings, const Arrived& arrived) : settings_(settings), arrived_(arrived) {}

  Result<Verdict> judge() {
    gguf::Report report;
    const auto wants = read(report);
    if (!wants) return std::unexpected(wants.error());
    if (*wants > 0) return Verdict{.wants_front_bytes = *wants};
    check_split(report);
    if (!report.defects.empty()) return judge_defects(report.defects);
    if (!report.complete()) return Verdict{};
    Verdict verdict;
    if (!arrived_.total_bytes) verdict.size_bytes = padded_end(report.header);
    if (auto judged = judge_memory(report.header, verdict); !judged) return std::unexpected(judged.error());
    return verdict;
  }

 private:
  // Reads no more than the header takes: each time four times as much. What is wanted to go on; 0 where the
  // report says all that there is to say.
  Result<std::uint64_t> read(gguf::Report& report) {
    const std::uint64_t file_bytes = arrived_.total_bytes.value_or(unknown_file_bytes);
    std::uint64_t wanted = std::min({fetch::first_look_bytes, arrived_.front_bytes, file_bytes});
    while (true) {
      front_.resize(wanted);
      const auto count = store::pread_all(arrived_.fd, front_, 0, "the download of " + settings_.model);
      if (!count) return std::unexpected(count.error());
      if (*count < wanted) {
        return fail(ErrorCode::io,
                    fmt::format("the download of {} became shorter while it was looked at; load "
                                "it again",
                                settings_.model));
      }
      report = gguf::inspect(front_, file_bytes);
      if (report.complete() || !report.defects.empty() || report.needs_bytes > max_looked_at_bytes) return 0;
      const std::uint64_t more =
          std::min({std::max(wanted * 4, report.needs_bytes), max_looked_at_bytes, file_bytes});
      // What is here may be enough, and without a known size it may be all that there is.
      if (report.needs_bytes > arrived_.front_bytes) return more;
      wanted = std::min(more, arrived_.front_bytes);
    }
  }

  void check_split(gguf::Report& report) const {
    if (!report.sound()) return;
    const auto split = gguf::split_of(report.header);
    const unsigned count = split && *split ? (*split)->count : 1;
    const unsigned no = split && *split ? (*split)->no : 0;
    if (count == settings_.files && no == settings_.file) return;
    report.defects.add(
        gguf::DefectCode::bad_split, "header", 0,
        "the file is number {} of {} and its name says {} of {}; the source of a split GGUF must keep "
        "its name, -00001-of-{:05}.gguf",
        no + 1, count, settings_.file + 1, settings_.files, count);
  }

  Result<Verdict> judge_defects(const gguf::Defects& defects) const {
    const bool is_gguf = std::ranges::none_of(
        defects.list(), [](const gguf::Defect& each) { return each.code == gguf::DefectCode::bad_magic; });
    const bool is_bounded = is_gguf || arrived_.total_bytes;
    if (arrived_.is_digest_known && is_bounded) return Verdict{};
    const Error error = gguf::to_error(defects);
    return fail(error.code, fmt::format("what the source of {} serves can't be used: {}", settings_.model,
                                        error.message));
  }

  // Writers pad the last tensor's data as they pad all others'.
  static std::uint64_t padded_end(const gguf::Header& header) {
    const std::uint64_t beyond = header.end_of_data % header.alignment;
    return beyond == 0 ? header.end_of_data : add(header.end_of_data, header.alignment - beyond);
  }

  Result<void> judge_memory(const gguf::Header& header, Verdict& verdict) const {
    const auto need = need_of(header);
    // With a known digest the header is not sure to be the model's; mapping it will tell.
    if (!need && (arrived_.is_digest_known || !settings_.is_to_be_loaded)) return {};
    if (!need) {
      return fail(need.error().code,
                  fmt::format("{} can't be loaded: {}", settings_.model, need.error().message));
    }
    const auto limits = memory::read_limits(settings_.system);
    // A machine that does not tell its memory refuses nothing.
    if (!limits) return {};
    const auto hard = memory::hard_limits(*limits);
    const memory::Bound& limit = memory::tightest(hard);
    if (add(need->bytes(), settings_.headroom_bytes) > limit.bytes) {
      std::string sentence = fmt::format(
          "{} needs at least {}; {} is {}, of which memory_headroom_bytes leaves {} free; a smaller n_ctx or "
          "a "
          "smaller model needs less",
          settings_.model, to_string(*need), limit.name, memory::amount(limit.bytes),
          memory::amount(settings_.headroom_bytes));
      if (settings_.is_to_be_loaded) return fail(ErrorCode::out_of_memory_budget, std::move(sentence));
      verdict.warnings.emplace_back("memory_preflight", std::move(sentence));
      return {};
    }
    const memory::Room room{
        .limits = memory::available_memory(*limits), .held = {}, .headroom_bytes = settings_.headroom_bytes};
    if (need->bytes() > room.available_bytes()) {
      verdict.warnings.emplace_back("memory_preflight",
                                    fmt::format("{} needs at least {}; now there is {}", settings_.model,
                                                to_string(*need), to_string(room)));
    }
    return {};
  }

  Result<memory::Need> need_of(const gguf::Header& header) const {
    const std::uint64_t others = other_files_bytes();
    if (settings_.file > 0) {
      return memory::Need{
          .weights_bytes = add(header.tensor_bytes(), others), .kv_bytes = {}, .compute_bytes = {}};
    }
    return map_result(gguf::plan_memory(header, settings_.memory, others), memory::need_of);
  }

  std::uint64_t other_files_bytes() const {
    if (!settings_.all_files_bytes || !arrived_.total_bytes) return settings_.other_files_bytes;
    const std::uint64_t all = *settings_.all_files_bytes;
    return std::max(settings_.other_files_bytes, all - std::min(all, *arrived_.total_bytes));
  }

  const LookSettings& settings_;
  const Arrived& arrived_;
  std::vector<std::byte> front_;  // the report's views point into it
};

}  // namespace

gguf::MemorySettings memory_settings(const config::ModelConfig& model) {
  return {.n_ctx = model.n_ctx,
          .n_seq = model.n_seq,
          .kv_unified = model.kv_unified,
          .type_k = std::string(name_of(model.kv_type_k)),
          .type_v = std::string(name_of(model.kv_type_v)),
          .n_ubatch = model.n_ubatch};
}

fetch::Inspect header_look(LookSettings settings) {
  return [settings = std::move(settings)](const Arrived& arrived) { return Look(settings, arrived).judge(); };
}

}  // namespace ggufd::model
