#include <fmt/core.h>

#include <chrono>

#include "ctl/continuity.h"
#include "ctl/human.h"
#include "ctl/session.h"
#include "ctl/verb.h"

namespace ggufd::ctl {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds retry_interval{250};

// One watch, over as many connections as it takes.
class Watching {
 public:
  Watching(Context& context, Session& session, Progress& progress, const std::optional<std::string>& model)
      : context_(context), session_(session), progress_(progress), model_(model) {}

  int run() {
    if (const auto code = greet(true)) return *code;
    while (true) {
      const auto code =
          session_.follow_frames(progress_, no_deadline, [this](const Frame& frame) { return take(frame); });
      if (refusal_) return conclude([&] { return session_.report(*refusal_); });
      if (code) return conclude([&] { return *code; });
      if (code.error().kind != ClientError::Kind::closed)
        return conclude([&] { return session_.report(code.error()); });
      if (is_draining_) return conclude([] { return int{done}; });
      if (const auto end = wait_for_daemon()) return *end;
    }
  }

 private:
  // The last picture stands, and the cursor is back, before anything else is said.
  int conclude(auto&& last_word) {
    progress_.finish();
    return last_word();
  }

  // What is asked on a new connection: who is there; and on the first whether there is such a model, for the
  // events come by themselves. A daemon that has closed already is noticed when its frames are read.
  std::optional<int> greet(bool is_first) {
    status_id_.clear();  // each connection counts anew
    if (is_first && model_) {
      const auto id = session_.send(request::Status{.model = model_});
      if (!id) return id.error();
      status_id_ = *id;
    }
    const auto ping = session_.send(request::Ping{});
    if (!ping) return ping.error();
    continuity_.connected(*ping);
    return std::nullopt;
  }

  std::optional<int> take(const Frame& frame) {
    refusal_ = refusal_of(frame, status_id_);
    if (refusal_) return failed;
    if (const auto* event = std::get_if<StatusEvent>(&frame))
      is_draining_ = is_draining_ || std::holds_alternative<status::Draining>(event->status);
    Continuity::Step step = continuity_.take({frame, session_.client().line()}, Clock::now());
    if (step.subscribe_since) {
      const auto id =
          session_.send(request::Subscribe{.since = step.subscribe_since, .models = {}, .progress = {}});
      if (!id) return id.error();
      continuity_.subscribed(*id);
    }
    if (step.subscribe_since || step.is_another) welcome_back(step.is_another);
    for (const HeardFrame& heard : step.news) show(heard);
    return std::nullopt;
  }

  void welcome_back(bool is_another) {
    gone_since_.reset();
    progress_.daemon_back(is_another);
    if (!progress_.is_live())
      context_.complain(is_another ? "another daemon is there" : "the daemon is back");
  }

  void show(const HeardFrame& heard) {
    const auto* event = std::get_if<StatusEvent>(&heard.frame);
    if (!context_.options.json) {
      if (event) progress_.show(*event);
    } else if (event ? !model_ || !event->model || *event->model == *model_
                     : std::holds_alternative<UnknownFrame>(heard.frame)) {
      context_.out.write(heard.line + "\n");
    }
  }

  // Until it is there again. For ever on a terminal, where a person sees that and may leave.
  std::optional<int> wait_for_daemon() {
    progress_.daemon_gone();
    const bool is_news = !gone_since_;
    if (is_news) gone_since_ = Clock::now();
    if (is_news && !progress_.is_live())
      context_.complain(
          fmt::format("the daemon at {} has gone without a word; waiting for it", session_.socket()));
    do {
      if (!progress_.is_live() && Clock::now() - *gone_since_ >= context_.reconnect_patience) {
        context_.complain(fmt::format("the daemon at {} is gone; it has not come back within {}",
                                      session_.socket(), human_ms(patience_ms())));
        return no_daemon;
      }
      if (const auto code =
              session_.pause(progress_, std::min(retry_interval, context_.reconnect_patience))) {
        progress_.finish();
        return code;
      }
    } while (!session_.reconnect());
    return greet(false);
  }

  std::uint64_t patience_ms() const {
    return static_cast<std::uint64_t>(context_.reconnect_patience.count());
  }

  Context& context_;
  Session& session_;
  Progress& progress_;
  const std::optional<std::string>& model_;
  Continuity continuity_;
  std::string status_id_;
  std::optional<ClientError> refusal_;
  bool is_draining_ = false;
  std::optional<Clock::time_point> gone_since_;
};

class WatchVerb final : public Verb {
 public:
  const char* name() const override { return "watch"; }
  const char* summary() const override { return "what happens, as it happens, until the daemon stops"; }
  const char* example() const override {
    return "ggufctl watch\n"
           "ggufctl watch qwen3-4b\n"
           "ggufctl watch --json | jq -r 'select(.status == \"ready\").model'";
  }
  const char* exit_codes() const override {
    return "0  the daemon has stopped in order\n"
           "1  what came was no protocol of ggufd, there is no such model, or nobody reads any more\n"
           "3  no daemon is there; where no terminal shows it, also one that went without a word and was "
           "not\n"
           "   back within 30 s. On a terminal it is waited for until Ctrl-C";
  }
  void bind(Parameters& parameters) override { parameters.positional("MODEL", model_, "only this model"); }

  int run(Context& context) override {
    auto session = Session::open(context);
    if (!session) return session.error();
    const bool is_json = context.options.json;
    if (is_json) context.terminal.is_live = false;
    Progress progress(context, {.model = model_, .plain_lines = !is_json, .errors_stay = true});
    return Watching(context, *session, progress, model_).run();
  }

 private:
  std::optional<std::string> model_;
};

}  // namespace

std::unique_ptr<Verb> make_watch() {
  return std::make_unique<WatchVerb>();
}

}  // namespace ggufd::ctl
