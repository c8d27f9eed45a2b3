#include <fmt/core.h>

#include <algorithm>

#include "ctl/session.h"
#include "ctl/verb.h"
#include "ctl/wait_goal.h"

namespace ggufd::ctl {
namespace {

using std::chrono::milliseconds;

// A wait of no time still wants to know how things stand.
constexpr milliseconds shortest_first_look{1000};

class WaitVerb final : public Verb {
 public:
  const char* name() const override { return "wait"; }
  const char* summary() const override {
    return "exit code 0 as soon as the model is ready, 1 when it can't be";
  }
  const char* example() const override { return "ggufctl wait qwen3-4b --timeout 600 && ./my-program"; }
  const char* exit_codes() const override {
    return "0  the model is ready\n"
           "1  it is in error, the daemon stops, or the time is over\n"
           "3  no daemon is there";
  }
  void bind(Parameters& parameters) override {
    parameters.positional("MODEL", model_, "the model; the default model where none is named");
    parameters.seconds("--timeout", timeout_s_, "give up after so many seconds");
  }

  int run(Context& context) override {
    const Deadline deadline =
        timeout_s_ ? deadline_in(milliseconds(static_cast<std::int64_t>(*timeout_s_ * 1000))) : no_deadline;
    auto session = Session::open(context);
    if (!session) return session.error();
    const auto id = session->send(request::Status{.model = model_});
    if (!id) return id.error();
    return wait(context, *session, *id, deadline);
  }

 private:
  // Until the daemon has said how things stand.
  Deadline first_deadline(const Context& context, Deadline deadline) const {
    const Deadline answer = deadline_in(context.answer_timeout);
    return deadline ? std::min(answer, std::max(deadline, deadline_in(shortest_first_look))) : answer;
  }

  int wait(Context& context, Session& session, const std::string& id, Deadline deadline) {
    WaitGoal goal(model_);
    WaitGoal::End end;
    std::optional<ClientError> problem;
    Deadline current = first_deadline(context, deadline);
    if (context.options.json) context.terminal.is_live = false;
    Progress progress(context, {.model = model_, .plain_lines = false, .needs_reader = false});
    const auto code = session.follow(progress, current, [&](const Frame& frame) -> std::optional<int> {
      problem = refusal_of(frame, id);
      if (problem) return failed;
      if (const auto* event = std::get_if<StatusEvent>(&frame)) end = goal.apply(*event);
      if (const auto* answer = std::get_if<AnswerFrame>(&frame); answer && answer->id == id) {
        const auto status = decode_answer<answer::Status>(*answer);
        if (status) end = goal.apply(*status);
        if (!status) problem = ClientError{ClientError::Kind::garbage, status.error()};
      }
      if (goal.is_known()) current = deadline;
      if (problem || end) return problem || !*end ? failed : done;
      return std::nullopt;
    });
    progress.finish();
    if (problem) return session.report(*problem);
    if (end && !*end) context.complain(end->error().message);
    if (code) return *code;
    if (code.error().kind == ClientError::Kind::timed_out && goal.is_known() && timeout_s_) {
      context.complain(
          fmt::format("{} is not ready after {} s", goal.model().value_or("the model"), *timeout_s_));
      return failed;
    }
    return session.report(code.error());
  }

  std::optional<std::string> model_;
  std::optional<double> timeout_s_;
};

}  // namespace

std::unique_ptr<Verb> make_wait() {
  return std::make_unique<WaitVerb>();
}

}  // namespace ggufd::ctl
