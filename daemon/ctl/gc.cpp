#include <fmt/core.h>

#include "ctl/configured.h"
#include "ctl/human.h"
#include "ctl/removal_report.h"
#include "ctl/verb.h"

namespace ggufd::ctl {
namespace {

class GcVerb final : public Verb {
 public:
  const char* name() const override { return "gc"; }
  const char* summary() const override { return "take out of the store what nobody needs"; }
  const char* example() const override { return "ggufctl gc --dry-run\nggufctl gc --quarantine --all --yes"; }
  const char* exit_codes() const override {
    return "0  what was said is gone; with --dry-run: would go\n"
           "1  something could not be removed, or the answer was no";
  }
  void bind(Parameters& parameters) override {
    parameters.flag("--dry-run", is_dry_run_, "say what would go, and do nothing");
    parameters.flag("--yes", is_sure_, "do not ask");
    parameters.flag("--quarantine", takes_quarantine_, "also what was quarantined more than 30 days ago");
    parameters.flag("--all", takes_all_, "with --quarantine: all that is quarantined");
  }

  int run(Context& context) override {
    if (takes_all_ && !takes_quarantine_) {
      context.complain("--all goes with --quarantine");
      return usage;
    }
    const Configured configured = read_configured(context);
    const auto store = open_store(context, configured);
    if (!store) return complain(context, store.error());
    const auto collection = store::list_store(*store);
    if (!collection) return complain(context, collection.error());
    store::GarbageRules rules = garbage_rules(configured);
    rules.quarantine = !takes_quarantine_ ? store::GarbageRules::Quarantine::keep
                       : takes_all_       ? store::GarbageRules::Quarantine::all
                                          : store::GarbageRules::Quarantine::old;
    auto plan = store::plan_garbage(*collection, rules, *store);
    plan.stays.insert(plan.stays.begin(), collection->problems.begin(), collection->problems.end());
    if (!context.options.json) context.out.write(removal_text(plan, context.terminal));
    return remove(context, *store, plan);
  }

 private:
  static int complain(Context& context, const Error& error) {
    context.complain(error.message);
    return failed;
  }

  int remove(Context& context, const store::BlobStore& store, const store::RemovalPlan& plan) const {
    RemovalOutcome outcome(plan.items.size());
    if (is_dry_run_ || plan.items.empty()) return conclude(context, plan, outcome, done);
    if (!is_sure_ && !is_confirmed(context, plan)) {
      const std::string why = "nothing was removed";
      if (context.options.json) context.out.write(removal_json(plan, outcome, false, why));
      context.complain(why);
      return failed;
    }
    int code = done;
    for (std::size_t i = 0; i < plan.items.size(); ++i) {
      const auto removed = store::remove_garbage(store, plan.items[i]);
      outcome.removed[i] = removed.has_value();
      if (removed) continue;
      outcome.errors[i] = removed.error().message;
      // What is in use is no garbage after all.
      if (removed.error().code != ErrorCode::busy) code = failed;
      if (!context.options.json) context.complain(fmt::format("{}; it stays", removed.error().message));
    }
    return conclude(context, plan, outcome, code);
  }

  int conclude(Context& context, const store::RemovalPlan& plan, const RemovalOutcome& outcome,
               int code) const {
    if (context.options.json) {
      context.out.write(removal_json(plan, outcome, is_dry_run_));
    } else if (plan.items.empty()) {
      context.out.write("nothing to remove\n");
    } else if (!is_dry_run_) {
      context.out.write(outcome_text(plan, outcome));
    }
    return code;
  }

  bool is_dry_run_ = false;
  bool is_sure_ = false;
  bool takes_quarantine_ = false;
  bool takes_all_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_gc() {
  return std::make_unique<GcVerb>();
}

}  // namespace ggufd::ctl
