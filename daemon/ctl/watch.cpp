#include <fmt/core.h>

#include "ctl/session.h"
#include "ctl/verb.h"

namespace ggufd::ctl {
namespace {

class WatchVerb final : public Verb {
 public:
  const char* name() const override { return "watch"; }
  const char* summary() const override { return "what happens, as it happens, until the daemon stops"; }
  void bind(Parameters& parameters) override { parameters.positional("MODEL", model_, "only this model"); }

  int run(Context& context) override {
    auto session = Session::open(context);
    if (!session) return session.error();
    // Only to be told when there is no such model; the events come by themselves.
    if (model_) {
      const auto sent = session->send(request::Status{.model = model_});
      if (!sent) return sent.error();
      id_ = *sent;
    }
    return context.options.json ? print_raw(context, *session) : show(context, *session);
  }

 private:
  // The model's frames, the daemon's own, and those of a kind that is not known here.
  bool concerns(const Frame& frame) const {
    const auto* event = std::get_if<StatusEvent>(&frame);
    if (!event) return std::holds_alternative<UnknownFrame>(frame);
    return !model_ || !event->model || *event->model == *model_;
  }

  int print_raw(Context& context, Session& session) {
    context.terminal.is_live = false;
    Progress silent(context, {.plain_lines = false});
    return follow(context, session, silent, [&](const Frame& frame) {
      if (concerns(frame)) context.out.write(session.client().line() + "\n");
    });
  }

  int show(Context& context, Session& session) {
    Progress progress(context, {.model = model_, .errors_stay = true});
    return follow(context, session, progress, [](const Frame&) {});
  }

  int follow(Context& context, Session& session, Progress& progress, auto&& on_frame) {
    bool is_draining = false;
    std::optional<ClientError> refusal;
    const auto code = session.follow(progress, no_deadline, [&](const Frame& frame) -> std::optional<int> {
      on_frame(frame);
      refusal = refusal_of(frame, id_);
      if (refusal) return failed;
      const auto* event = std::get_if<StatusEvent>(&frame);
      is_draining = is_draining || (event && std::holds_alternative<status::Draining>(event->status));
      return std::nullopt;
    });
    progress.finish();
    if (refusal) return session.report(*refusal);
    if (code) return *code;
    if (code.error().kind != ClientError::Kind::closed) return session.report(code.error());
    if (is_draining) return done;
    context.complain(
        fmt::format("the daemon at {} is gone; it did not say that it would stop", session.socket()));
    return no_daemon;
  }

  std::optional<std::string> model_;
  std::string id_;
};

}  // namespace

std::unique_ptr<Verb> make_watch() {
  return std::make_unique<WatchVerb>();
}

}  // namespace ggufd::ctl
