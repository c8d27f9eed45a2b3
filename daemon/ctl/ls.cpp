#include "ctl/configured.h"
#include "ctl/ls_report.h"
#include "ctl/verb.h"
#include "fetch/journal.h"

namespace ggufd::ctl {
namespace {

class LsVerb final : public Verb {
 public:
  const char* name() const override { return "ls"; }
  const char* summary() const override { return "what is in the store"; }
  const char* example() const override { return "ggufctl ls\nggufctl ls --store /srv/models --json"; }
  void bind(Parameters&) override {}

  int run(Context& context) override {
    const auto store = open_store(context, read_configured(context));
    const auto collection =
        store ? store::list_store(*store) : Result<store::Collection>(std::unexpected(store.error()));
    if (!collection) {
      context.complain(collection.error().message);
      return failed;
    }
    if (context.options.json) {
      context.out.write(ls_json(*collection, fetch::arrived_bytes));
    } else {
      context.out.write(
          ls_text(*collection, fetch::arrived_bytes, store->root(), Timestamp::now(), context.terminal));
      for (const std::string& problem : collection->problems) context.complain(problem);
    }
    return done;
  }
};

}  // namespace

std::unique_ptr<Verb> make_ls() {
  return std::make_unique<LsVerb>();
}

}  // namespace ggufd::ctl
