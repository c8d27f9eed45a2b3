#include <fmt/core.h>

#include "ctl/configured.h"
#include "ctl/human.h"
#include "ctl/removal_report.h"
#include "ctl/verb.h"

namespace ggufd::ctl {
namespace {

class RmVerb final : public Verb {
 public:
  const char* name() const override { return "rm"; }
  const char* summary() const override { return "take a model out of the store"; }
  const char* example() const override { return "ggufctl rm qwen3-4b --dry-run\nggufctl rm qwen3-4b --yes"; }
  const char* exit_codes() const override {
    return "0  what was said is gone; with --dry-run: would go\n"
           "1  there is no such model, it is in use, or the answer was no";
  }
  void bind(Parameters& parameters) override {
    parameters.required("MODEL", model_, "the model's name in the store");
    parameters.flag("--dry-run", is_dry_run_, "say what would go, and do nothing");
    parameters.flag("--yes", is_sure_, "do not ask");
  }

  int run(Context& context) override {
    const auto store = open_store(context, read_configured(context));
    if (!store) return complain(context, store.error().message);
    const auto plan = store::plan_model_removal(*store, model_);
    if (!plan) return complain(context, plan.error().message);
    if (!context.options.json) context.out.write(removal_text(*plan, context.terminal));
    RemovalOutcome outcome(plan->items.size());
    if (is_dry_run_) return conclude(context, *plan, outcome);
    if (!is_sure_ && !is_confirmed(context, *plan))
      return refuse(context, *plan, outcome, "nothing was removed");
    std::size_t gone = 0;
    const auto removed = store::remove_model(*store, model_, *plan,
                                             [&](const store::Removal&) { outcome.removed[gone++] = true; });
    if (!removed) {
      const std::string& why = removed.error().message;
      return refuse(context, *plan, outcome, gone == 0 ? why + "; nothing was removed" : why);
    }
    return conclude(context, *plan, outcome);
  }

 private:
  static int complain(Context& context, const std::string& why) {
    context.complain(why);
    return failed;
  }

  static int refuse(Context& context, const store::RemovalPlan& plan, const RemovalOutcome& outcome,
                    const std::string& why) {
    if (context.options.json) context.out.write(removal_json(plan, outcome, false, why));
    return complain(context, why);
  }

  int conclude(Context& context, const store::RemovalPlan& plan, const RemovalOutcome& outcome) const {
    if (context.options.json) {
      context.out.write(removal_json(plan, outcome, is_dry_run_));
    } else if (!is_dry_run_) {
      context.out.write(outcome_text(plan, outcome));
    }
    return done;
  }

  std::string model_;
  bool is_dry_run_ = false;
  bool is_sure_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_rm() {
  return std::make_unique<RmVerb>();
}

}  // namespace ggufd::ctl
