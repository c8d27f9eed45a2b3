#include <fmt/core.h>

#include "ctl/blob_report.h"
#include "ctl/session.h"
#include "ctl/verb.h"

namespace ggufd::ctl {
namespace {

class PullVerb final : public Verb {
 public:
  const char* name() const override { return "pull"; }
  const char* summary() const override { return "fetch and verify a model's file, without loading it"; }
  const char* example() const override {
    return "ggufctl pull qwen3-4b\n"
           "ggufctl pull --source hf:Qwen/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf --name qwen3-4b-q4";
  }
  const char* exit_codes() const override {
    return "0  the file is in the store and verified; with --no-wait: the pull is under way\n"
           "1  it could not be fetched, or its digest is wrong\n"
           "3  no daemon is there\n"
           "Ctrl-C leaves the pull to the daemon: it goes on, and `ggufctl cancel` ends it";
  }
  void bind(Parameters& parameters) override {
    parameters.positional("MODEL", model_, "a configured model");
    parameters.text("--source", source_, "instead of MODEL: any source, as in the configuration", "URL");
    parameters.text("--sha256", sha256_, "its digest, 64 hex digits", "HEX");
    parameters.text("--name", name_, "the name it gets in the store", "NAME");
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
    Progress progress(context, {.model = subject, .plain_lines = is_shown, .holds_signals = true});
    const request::Pull request{
        .model = model_, .source = source_, .sha256 = sha256_, .name = name_, .wait = !no_wait_};
    const auto answer =
        session->perform(request, progress, no_wait_ ? session->answer_deadline() : no_deadline,
                         no_wait_ ? std::string() : when_left(context, subject));
    if (!answer) return answer.error();
    context.out.write(context.options.json ? answer->json + "\n"
                                           : blob_report(subject, *answer, no_wait_ ? "pulling" : "done"));
    return done;
  }

 private:
  static std::string when_left(const Context& context, const std::string& subject) {
    return fmt::format("the daemon goes on with the pull of {}; to end it: {}", subject,
                       own_command(context.options, "cancel", subject));
  }

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
