#include <fmt/core.h>

#include <chrono>

#include "ctl/blob_report.h"
#include "ctl/elapsed.h"
#include "ctl/human.h"
#include "ctl/session.h"
#include "ctl/verb.h"

namespace ggufd::ctl {
namespace {

class VerifyVerb final : public Verb {
 public:
  const char* name() const override { return "verify"; }
  const char* summary() const override { return "hash a model's file again, now"; }
  const char* example() const override { return "ggufctl verify qwen3-4b"; }
  const char* exit_codes() const override {
    return "0  every byte is as it should be; with --no-wait: the daemon has begun\n"
           "1  the digest is wrong (the file is in quarantine then), or the file could not be read\n"
           "3  no daemon is there\n"
           "Ctrl-C leaves it to the daemon: it hashes on, and quarantines what is bad";
  }
  void bind(Parameters& parameters) override {
    parameters.positional("MODEL", model_, "the model; the default model where none is named");
    parameters.flag("--no-wait", no_wait_, "return as soon as the daemon has taken the request");
  }

  int run(Context& context) override {
    auto session = Session::open(context);
    if (!session) return session.error();
    const auto named = model_ ? ClientResult<std::optional<std::string>>(model_) : session->default_model();
    if (!named) return session->report(named.error());
    const auto& model = *named;
    if (!model) {
      context.complain("the daemon has named no default model; name the one to verify");
      return failed;
    }
    return no_wait_ ? start(context, *session, *model) : verify(context, *session, *model);
  }

 private:
  static int verify(Context& context, Session& session, const std::string& model) {
    const bool is_shown = !context.options.json;
    if (!is_shown) context.terminal.is_live = false;
    const auto begun_at = std::chrono::steady_clock::now();
    Progress progress(context,
                      {.model = model, .plain_lines = is_shown, .holds_signals = true, .task = "verify"});
    const auto answer = session.perform(
        request::Verify{.model = model}, progress, no_deadline,
        fmt::format("the daemon goes on with the verify of {}, which changes nothing that is good", model));
    if (!answer) return answer.error();
    context.out.write(context.options.json ? answer->json + "\n" : blob_report(model, *answer, "verified"));
    if (is_shown)
      context.out.write(fmt::format("{} verified in {}\n", printable(model), human_ms(elapsed_ms(begun_at))));
    return done;
  }

  // The request knows no `wait`. The daemon reads requests in order: when it answers a `ping` that was sent
  // behind, it has taken this one, or refused it before.
  static int start(Context& context, Session& session, const std::string& model) {
    const auto id = session.send(request::Verify{.model = model});
    const auto ping = id ? session.send(request::Ping{}) : id;
    if (!ping) return ping.error();
    context.terminal.is_live = false;
    Progress silent(context, {.model = model, .plain_lines = false});
    std::optional<ClientError> refusal;
    const auto code =
        session.follow(silent, session.answer_deadline(), [&](const Frame& frame) -> std::optional<int> {
          refusal = refusal_of(frame, *id);
          if (refusal) return failed;
          const auto* answer = std::get_if<AnswerFrame>(&frame);
          return answer ? std::optional<int>(done) : std::nullopt;
        });
    if (refusal) return session.report(*refusal);
    if (!code) return session.report(code.error());
    if (*code == done && !context.options.json)
      context.out.write(fmt::format("{}: verifying\n", printable(model)));
    return *code;
  }

  std::optional<std::string> model_;
  bool no_wait_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_verify() {
  return std::make_unique<VerifyVerb>();
}

}  // namespace ggufd::ctl
