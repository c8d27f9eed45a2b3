#include "ctl/session.h"
#include "ctl/verb.h"

namespace ggufd::ctl {
namespace {

class DrainVerb final : public Verb {
 public:
  const char* name() const override { return "drain"; }
  const char* summary() const override { return "stop the daemon; requests in flight are finished"; }
  const char* example() const override { return "ggufctl drain"; }
  const char* exit_codes() const override {
    return "0  the daemon has stopped; with --no-wait: it has begun to\n"
           "1  it ended without its word, or did not answer\n"
           "3  no daemon is there";
  }
  void bind(Parameters& parameters) override {
    parameters.flag("--no-wait", no_wait_, "return as soon as the daemon has taken the request");
  }

  int run(Context& context) override {
    auto session = Session::open(context);
    if (!session) return session.error();
    const bool is_shown = !no_wait_ && !context.options.json;
    if (!is_shown) context.terminal.is_live = false;
    Progress progress(context, {.model = {}, .plain_lines = is_shown});
    return drain(context, *session, progress);
  }

 private:
  // The daemon may be gone before its answer is out: its word that it stops, or the answer, and then the end
  // of the connection is what success looks like.
  int drain(Context& context, Session& session, Progress& progress) const {
    if (const auto caught_up = session.catch_up(progress); !caught_up) return caught_up.error();
    const auto id = session.send(request::Drain{});
    if (!id) return id.error();
    const Deadline answer_deadline = session.answer_deadline();
    Deadline deadline = answer_deadline;
    bool is_taken = false;
    std::optional<ClientError> refusal;
    const auto code = session.follow(progress, deadline, [&](const Frame& frame) -> std::optional<int> {
      refusal = refusal_of(frame, *id);
      if (refusal) return failed;
      const auto* answer = std::get_if<AnswerFrame>(&frame);
      const auto* event = std::get_if<StatusEvent>(&frame);
      const bool is_answer = answer && answer->id == *id;
      if (is_answer && context.options.json) context.out.write(answer->json + "\n");
      if (is_answer || (event && std::holds_alternative<status::Draining>(event->status))) is_taken = true;
      if (is_taken) deadline = no_deadline;
      return is_taken && no_wait_ ? std::optional<int>(done) : std::nullopt;
    });
    progress.finish();
    if (refusal) return session.report(*refusal);
    if (code) return *code;
    const bool has_stopped = is_taken && code.error().kind == ClientError::Kind::closed;
    if (!has_stopped) return session.report(code.error());
    if (!context.options.json) context.out.write("ggufd: stopped\n");
    return done;
  }

  bool no_wait_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_drain() {
  return std::make_unique<DrainVerb>();
}

}  // namespace ggufd::ctl
