#include <fmt/format.h>

#include <memory>
#include <string_view>

#include "ctl/configured.h"
#include "ctl/model_headers.h"
#include "ctl/plan_report.h"
#include "ctl/planning.h"
#include "ctl/verb.h"
#include "gguf/tensor_type.h"

namespace ggufd::ctl {
namespace {

// Smaller than f16, in the order in which they cost quality.
constexpr std::string_view smaller_types[] = {"q8_0", "q4_0"};

std::string cache_types() {
  return fmt::format("{}", fmt::join(EnumNames<config::CacheType>, "|"));
}

class PlanVerb final : public Verb {
 public:
  const char* name() const override { return "plan"; }
  const char* summary() const override { return "how much memory a model takes, and whether it fits"; }
  const char* example() const override {
    return "ggufctl plan qwen3-4b\n"
           "ggufctl plan qwen3-4b --n-ctx 8192,32768 --kv-type-k q8_0 --kv-type-v q8_0";
  }
  const char* exit_codes() const override {
    return "0  it fits\n"
           "1  it does not fit, or the file could not be read";
  }
  void bind(Parameters& parameters) override {
    parameters.required("FILE|URL|MODEL", word_,
                        "a GGUF file, a source as in the configuration, or a model's name");
    parameters.numbers("--n-ctx", n_ctx_, "context length in tokens, 0: the model's own; several to compare");
    parameters.number("--n-seq", n_seq_, "sequences that share the context");
    parameters.flag("--kv-unified", is_unified_, "one KV cache for all sequences");
    parameters.flag("--no-kv-unified", is_separate_, "one KV cache for each sequence");
    parameters.text("--kv-type-k", type_k_, "type of the K cache", cache_types());
    parameters.text("--kv-type-v", type_v_, "type of the V cache", cache_types());
    parameters.number("--n-ubatch", n_ubatch_, "tokens that are computed at once");
    parameters.flag("--swa-full", is_swa_full_, "layers with a sliding window cache as much as the others");
  }

  int run(Context& context) override {
    if (const std::string mistake = check(); !mistake.empty()) {
      context.complain(mistake);
      return usage;
    }
    const auto planning =
        open_planning(context, word_, flags(n_ctx_.empty() ? std::nullopt : std::optional(n_ctx_.front())));
    if (!planning) return planning.error();
    const auto asked = (*planning)->plan({});
    if (!asked) return refuse(context, **planning, asked.error());
    PlanReport report{.title = (*planning)->title(), .plan = asked->plan, .others = {}, .smaller = {}};
    for (std::size_t i = 1; i < n_ctx_.size(); ++i) {
      const auto other = (*planning)->plan({.n_ctx = n_ctx_[i], .kv_types = {}});
      if (!other) return refuse(context, **planning, other.error());
      report.others.push_back(other->plan);
    }
    if (context.options.json) {
      context.out.write(plan_json(asked->document, report.others));
    } else {
      add_smaller(**planning, report);
      context.out.write(plan_text(report, context.terminal));
    }
    return report.plan.fits.value.value_or(true) ? done : failed;
  }

 private:
  // What is wrong with the command line; empty where nothing is.
  std::string check() const {
    if (is_unified_ && is_separate_) return "--kv-unified and --no-kv-unified exclude each other";
    for (const auto& type : {type_k_, type_v_}) {
      if (type && gguf::cache_type(*type) == nullptr) {
        return fmt::format("\"{}\" is no cache type: f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0 or q5_1",
                           *type);
      }
    }
    return "";
  }

  PlanFlags flags(std::optional<std::uint32_t> n_ctx) const {
    PlanFlags flags{.n_ctx = n_ctx,
                    .n_seq = n_seq_,
                    .kv_unified = {},
                    .kv_type_k = type_k_,
                    .kv_type_v = type_v_,
                    .n_ubatch = n_ubatch_,
                    .swa_full = {}};
    if (is_unified_ || is_separate_) flags.kv_unified = is_unified_;
    if (is_swa_full_) flags.swa_full = true;
    return flags;
  }

  // A cache type that the model cannot have, or that takes no less, is not shown.
  static void add_smaller(Planning& planning, PlanReport& report) {
    if (!report.plan.kv_bytes.value) return;
    std::uint64_t bytes = *report.plan.kv_bytes.value;
    for (const std::string_view type : smaller_types) {
      const auto smaller = planning.plan({.n_ctx = {}, .kv_types = std::string(type)});
      if (!smaller || smaller->plan.kv_bytes.value.value_or(bytes) >= bytes) continue;
      bytes = *smaller->plan.kv_bytes.value;
      report.smaller.push_back(smaller->plan);
    }
  }

  static int refuse(Context& context, const Planning& planning, const Error& error) {
    if (context.options.json && !planning.error_document().empty())
      context.out.write(planning.error_document() + "\n");
    context.complain(error.message);
    return error.code == ErrorCode::bad_field ? usage : failed;
  }

  std::string word_;
  std::vector<std::uint32_t> n_ctx_;
  std::optional<std::uint32_t> n_seq_;
  bool is_unified_ = false;
  bool is_separate_ = false;
  std::optional<std::string> type_k_;
  std::optional<std::string> type_v_;
  std::optional<std::uint32_t> n_ubatch_;
  bool is_swa_full_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_plan() {
  return std::make_unique<PlanVerb>();
}

}  // namespace ggufd::ctl
