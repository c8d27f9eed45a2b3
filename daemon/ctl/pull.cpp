#include "ctl/blob_report.h"
#include "ctl/session.h"
#include "ctl/verb.h"

namespace ggufd::ctl {
namespace {

class PullVerb final : public Verb {
 public:
  const char* name() const override { return "pull"; }
  const char* summary() const override { return "fetch and verify a model's file, without loading it"; }
  void bind(Parameters& parameters) override {
    parameters.positional("MODEL", model_, "a configured model");
    parameters.text("--source", source_, "instead of MODEL: any source, as in the configuration");
    parameters.text("--sha256", sha256_, "its digest, 64 hex digits");
    parameters.text("--name", name_, "the name it gets in the store");
    parameters.flag("--no-wait", no_wait_, "return as soon as the daemon has taken the request");
  }

  int run(Context& context) override {
    const bool is_complete = model_ ? !source_ && !sha256_ && !name_ : source_ && name_;
    if (!is_complete) {
      context.complain("pull takes either a MODEL, or --source and --name");
      return usage;
    }
    auto session = Session::open(context);
    if (!session) return session.error();
    const std::string subject = model_ ? *model_ : *name_;
    const bool is_shown = !no_wait_ && !context.options.json;
    if (!is_shown) context.terminal.is_live = false;
    Progress progress(context, {.model = subject, .plain_lines = is_shown});
    const request::Pull request{
        .model = model_, .source = source_, .sha256 = sha256_, .name = name_, .wait = !no_wait_};
    const auto answer =
        session->perform(request, progress, no_wait_ ? session->answer_deadline() : no_deadline);
    if (!answer) return answer.error();
    context.out.write(context.options.json ? answer->json + "\n"
                                           : blob_report(subject, *answer, no_wait_ ? "pulling" : "done"));
    return done;
  }

 private:
  std::optional<std::string> model_;
  std::optional<std::string> source_;
  std::optional<std::string> sha256_;
  std::optional<std::string> name_;
  bool no_wait_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_pull() {
  return std::make_unique<PullVerb>();
}

}  // namespace ggufd::ctl
