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

// Message: the request, one of request::OfModel.
template <class Message, ggufd::Verb verb>
class ModelVerb final : public Verb {
 public:
  explicit ModelVerb(const char* summary) : summary_(summary) {}

  const char* name() const override { return name_of(verb).data(); }
  const char* summary() const override { return summary_; }
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
    if (!subject && !context.options.json && verb != ggufd::Verb::reload) subject = session->default_model();
    if (!is_shown) context.terminal.is_live = false;
    Progress progress(context, {.model = subject, .plain_lines = is_shown});
    const auto answer = session->perform(Message{.model = model_, .wait = !no_wait_}, progress,
                                         no_wait_ ? session->answer_deadline() : no_deadline);
    if (!answer) return answer.error();
    return conclude(context, *answer, subject);
  }

 private:
  int conclude(Context& context, const AnswerFrame& answer, const std::optional<std::string>& subject) const {
    const auto state = decode_answer<answer::State>(answer);
    const int code = no_wait_ || !state || is_wanted(verb, state->state) ? done : failed;
    if (context.options.json) {
      context.out.write(answer.json + "\n");
    } else {
      context.out.write(fmt::format("{}: {}\n", printable(subject.value_or(name())),
                                    state ? name_of(state->state) : std::string_view("done")));
    }
    return code;
  }

  const char* summary_;
  std::optional<std::string> model_;
  bool no_wait_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_load() {
  return std::make_unique<ModelVerb<request::Load, ggufd::Verb::load>>("bring a model up");
}

std::unique_ptr<Verb> make_unload() {
  return std::make_unique<ModelVerb<request::Unload, ggufd::Verb::unload>>("take a model down");
}

std::unique_ptr<Verb> make_reload() {
  return std::make_unique<ModelVerb<request::Reload, ggufd::Verb::reload>>("read the configuration again");
}

std::unique_ptr<Verb> make_cancel() {
  return std::make_unique<ModelVerb<request::Cancel, ggufd::Verb::cancel>>("end a model's load");
}

}  // namespace ggufd::ctl
