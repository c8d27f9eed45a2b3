// load, unload, reload and cancel: requests of one shape.
#include <fmt/core.h>

#include "ctl/human.h"
#include "ctl/session.h"
#include "ctl/verb.h"

namespace ggufd::ctl {
namespace {

// Whether what was waited for has come to the end that was wanted.
bool is_wanted(ggufd::Verb verb, ModelState state) {
  switch (verb) {
    case ggufd::Verb::load:
      return state == ModelState::ready;
    case ggufd::Verb::unload:
      return state == ModelState::uninitialized;
    default:
      return state != ModelState::error;
  }
}

// What is under way, where it is not waited for.
const char* under_way(ggufd::Verb verb) {
  switch (verb) {
    case ggufd::Verb::load:
      return "loading";
    case ggufd::Verb::unload:
      return "unloading";
    case ggufd::Verb::cancel:
      return "cancelling";
    default:
      return "reloading";
  }
}

// Message: the request, one of request::OfModel.
template <class Message, ggufd::Verb verb>
class ModelVerb final : public Verb {
 public:
  ModelVerb(const char* summary, const char* example, const char* exit_codes)
      : summary_(summary), example_(example), exit_codes_(exit_codes) {}

  const char* name() const override { return name_of(verb).data(); }
  const char* summary() const override { return summary_; }
  const char* example() const override { return example_; }
  const char* exit_codes() const override { return exit_codes_; }
  void bind(Parameters& parameters) override {
    constexpr bool is_reload = verb == ggufd::Verb::reload;
    parameters.positional("MODEL", model_,
                          is_reload ? "only this model's part of the file"
                                    : "the model; the default model where none is named");
    parameters.flag("--no-wait", no_wait_, "return as soon as the daemon has taken the request");
  }

  int run(Context& context) override {
    auto session = Session::open(context);
    if (!session) return session.error();
    const bool is_shown = !no_wait_ && !context.options.json;
    // A reload without a model is about all of them.
    auto subject = model_;
    // Where it is not told, the request says why.
    if (!subject && !context.options.json && verb != ggufd::Verb::reload)
      subject = session->default_model().value_or(std::nullopt);
    const auto before = no_wait_ && !context.options.json ? state_of(*session, subject) : std::nullopt;
    if (!is_shown) context.terminal.is_live = false;
    Progress progress(context, {.model = subject, .plain_lines = is_shown, .holds_signals = true});
    const auto answer = session->perform(Message{.model = model_, .wait = !no_wait_}, progress,
                                         no_wait_ ? session->answer_deadline() : no_deadline,
                                         no_wait_ ? std::string() : when_left(context, subject));
    if (!answer) return answer.error();
    return conclude(context, *answer, subject, before);
  }

 private:
  // What the model is now; nothing where that is not told, and the request says why.
  static std::optional<ModelState> state_of(Session& session, const std::optional<std::string>& model) {
    if (!model) return std::nullopt;
    const auto status =
        session.client().ask<answer::Status>(request::Status{.model = model}, session.answer_deadline());
    if (!status || status->models.empty()) return std::nullopt;
    return status->models.front().state;
  }

  static std::string when_left(const Context& context, const std::optional<std::string>& subject) {
    const std::string of_what =
        subject ? fmt::format("{} of {}", name_of(verb), *subject) : fmt::format("{}", name_of(verb));
    const std::string text = fmt::format("the daemon goes on with the {}", of_what);
    if (verb != ggufd::Verb::load) return text;
    return text + "; to end it: " + own_command(context.options, "cancel", subject.value_or(""));
  }

  int conclude(Context& context, const AnswerFrame& answer, const std::optional<std::string>& subject,
               std::optional<ModelState> before) const {
    const auto state = decode_answer<answer::State>(answer);
    const int code = no_wait_ || !state || is_wanted(verb, state->state) ? done : failed;
    if (context.options.json) {
      context.out.write(answer.json + "\n");
    } else {
      std::string_view said = state ? name_of(state->state) : std::string_view("done");
      // The answer tells where it leads to: there it may be already.
      if (state && no_wait_ && before != state->state) said = under_way(verb);
      context.out.write(fmt::format("{}: {}\n", printable(subject.value_or(name())), said));
    }
    return code;
  }

  const char* summary_;
  const char* example_;
  const char* exit_codes_;
  std::optional<std::string> model_;
  bool no_wait_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_load() {
  return std::make_unique<ModelVerb<request::Load, ggufd::Verb::load>>(
      "bring a model up",
      "ggufctl load qwen3-4b\n"
      "ggufctl load qwen3-4b --no-wait && ggufctl wait qwen3-4b --timeout 600",
      "0  the model is ready; with --no-wait: the load is under way\n"
      "1  the load has failed, or was cancelled by somebody\n"
      "3  no daemon is there\n"
      "Ctrl-C leaves the load to the daemon: it goes on, and `ggufctl cancel` ends it");
}

std::unique_ptr<Verb> make_unload() {
  return std::make_unique<ModelVerb<request::Unload, ggufd::Verb::unload>>(
      "take a model down", "ggufctl unload qwen3-4b",
      "0  its memory is free; with --no-wait: the unload is under way\n"
      "1  it could not be unloaded\n"
      "3  no daemon is there");
}

std::unique_ptr<Verb> make_reload() {
  return std::make_unique<ModelVerb<request::Reload, ggufd::Verb::reload>>(
      "read the configuration again", "ggufctl reload\nggufctl reload qwen3-4b",
      "0  the file is good, and what it changes is done\n"
      "1  the file has mistakes and nothing was changed, or a model is in error now\n"
      "3  no daemon is there");
}

std::unique_ptr<Verb> make_cancel() {
  return std::make_unique<ModelVerb<request::Cancel, ggufd::Verb::cancel>>(
      "end a model's load or pull", "ggufctl cancel qwen3-4b",
      "0  nothing is under way any more; what had been fetched stays\n"
      "1  the model is in error\n"
      "3  no daemon is there");
}

}  // namespace ggufd::ctl
