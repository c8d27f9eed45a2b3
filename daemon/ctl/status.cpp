#include "ctl/session.h"
#include "ctl/status_report.h"
#include "ctl/verb.h"

namespace ggufd::ctl {
namespace {

class StatusVerb final : public Verb {
 public:
  const char* name() const override { return "status"; }
  const char* summary() const override { return "what each model is doing, as a table"; }
  const char* example() const override {
    return "ggufctl status\n"
           "ggufctl status qwen3-4b\n"
           "ggufctl status --json | jq -r '.models[] | select(.state == \"error\").name'";
  }
  void bind(Parameters& parameters) override {
    parameters.positional("MODEL", model_, "only this model, in more detail");
  }

  int run(Context& context) override {
    auto session = Session::open(context);
    if (!session) return session.error();
    const auto status = session->ask<answer::Status>(request::Status{.model = model_});
    if (!status) return status.error();
    context.out.write(context.options.json
                          ? session->client().line() + "\n"
                          : status_report(*status, model_.has_value(), Timestamp::now(), context.terminal));
    return done;
  }

 private:
  std::optional<std::string> model_;
};

}  // namespace

std::unique_ptr<Verb> make_status() {
  return std::make_unique<StatusVerb>();
}

}  // namespace ggufd::ctl
