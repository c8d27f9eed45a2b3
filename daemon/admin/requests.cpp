#include "admin/requests.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "admin/pull_request.h"
#include "config/environment.h"
#include "config/text_rules.h"
#include "doctor/fit.h"
#include "model/header_look.h"
#include "protocol/frame.h"
#include "protocol/utf8.h"

namespace ggufd::admin {
namespace {

AnswerBody state_answer(ModelState state) {
  return answer::State{state};
}

// The state that an operation leads to, told to `reply` when it is reached.
model::Model::Waiter waiter_for(Reply reply) {
  const std::weak_ptr<const void> asker = reply.asker();
  return {[reply = std::move(reply)](const Result<ModelState>& reached) mutable {
            if (reached) return reply(state_answer(*reached));
            reply(std::unexpected(reached.error()));
          },
          asker};
}

Error unknown_model_error(const std::string& name) {
  return {ErrorCode::unknown_model, fmt::format("no model \"{}\" is configured; `ggufctl status` lists them",
                                                utf8_prefix(name, max_shown_bytes))};
}

// The answer to a request about a file: what became of it or, where the client does not wait for that, that
// it has begun. A refusal that comes at once is told in both cases.
class Answered {
 public:
  Answered(Reply reply, bool wait) : reply_(std::make_shared<Reply>(std::move(reply))), wait_(wait) {}

  model::Model::BlobWaiter waiter() const {
    return {[reply = reply_](const Result<answer::Blob>& result) {
              if (!*reply) return;
              if (!result) return (*reply)(std::unexpected(result.error()));
              (*reply)(AnswerBody(*result));
            },
            wait_ ? reply_->asker() : unanswered_};
  }
  void begun() const {
    if (wait_ || !*reply_) return;
    (*reply_)(AnswerBody(answer::Done{}));
  }

 private:
  std::shared_ptr<Reply> reply_;
  // Until begun(): who does not wait is no waiter any more.
  std::shared_ptr<const void> unanswered_ = std::make_shared<char>();
  bool wait_;
};

// The answer when several models have settled: the state that `told` has then, or the first error, or the
// state error where one of them is in it.
class WhenAllSettled {
 public:
  WhenAllSettled(std::string told, std::size_t models, Reply reply)
      : told_(std::move(told)), left_(models), reply_(std::move(reply)) {}

  model::Model::Waiter waiter(const std::shared_ptr<WhenAllSettled>& shared, const std::string& name) {
    return {[shared, name](const Result<ModelState>& outcome) { shared->settled(name, outcome); },
            reply_.asker()};
  }

 private:
  void settled(const std::string& name, const Result<ModelState>& outcome) {
    if (!outcome && !error_) {
      error_ = Error{outcome.error().code, fmt::format("{}: {}", name, outcome.error().message)};
    }
    is_in_error_ |= outcome == ModelState::error;
    if (outcome && name == told_) state_ = *outcome;
    if (--left_ > 0) return;
    if (error_) return reply_(std::unexpected(*error_));
    reply_(state_answer(is_in_error_ ? ModelState::error : state_));
  }

  const std::string told_;
  ModelState state_ = ModelState::uninitialized;
  std::size_t left_;
  Reply reply_;
  std::optional<Error> error_;
  bool is_in_error_ = false;
};

}  // namespace

Requests::Requests(loop::Loop& loop, model::Models& models, Server& server, const StatusLog& log,
                   const config::Config& config, DaemonCommands commands)
    : loop_(loop),
      models_(models),
      server_(server),
      log_(log),
      config_(config),
      commands_(std::move(commands)),
      started_ms_(loop.now_ms()) {}

void Requests::handle(Request request, const loop::PeerCredentials&, Reply reply) {
  std::visit([&](const auto& body) { serve(body, std::move(reply)); }, request.body);
}

std::optional<std::string> Requests::unknown_model(const std::vector<std::string>& names) const {
  const auto is_unknown = [this](const std::string& name) {
    return models_.find(name) == nullptr && !models_.source_pulls().has(name);
  };
  const auto unknown = std::ranges::find_if(names, is_unknown);
  return unknown == names.end() ? std::nullopt : std::optional(*unknown);
}

void Requests::serve(const request::Ping&, Reply reply) {
  reply(answer::Ping{
      .version = GGUFD_VERSION, .pid = getpid(), .uptime_s = (loop_.now_ms() - started_ms_) / 1000});
}

void Requests::serve(const request::Status& request, Reply reply) {
  answer::Status status{.subscribers = server_.subscribers(), .seq = log_.seq()};
  if (const model::Model* model = models_.default_model()) status.default_model = model->name();
  if (request.model) {
    const auto model = model_of(request.model);
    if (!model) return reply(std::unexpected(model.error()));
    status.models.push_back((*model)->status());
  } else {
    status.models = models_.statuses();
  }
  reply(AnswerBody(std::move(status)));
}

void Requests::serve(const request::Load& request, Reply reply) {
  const auto model = model_of(request.model);
  if (!model) return reply(std::unexpected(model.error()));
  if (const auto refused = refusal()) return reply(std::unexpected(*refused));
  if (request.wait.value_or(false)) return (*model)->load(waiter_for(std::move(reply)));
  if ((*model)->state() == ModelState::unloading)
    return (*model)->load(waiter_for(std::move(reply)));  // busy
  (*model)->load({});
  reply(state_answer(ModelState::ready));
}

void Requests::serve(const request::Unload& request, Reply reply) {
  const auto model = model_of(request.model);
  if (!model) return reply(std::unexpected(model.error()));
  if (request.wait.value_or(false)) {
    return (*model)->unload(UnloadReason::request, waiter_for(std::move(reply)));
  }
  (*model)->unload(UnloadReason::request, {});
  reply(state_answer(ModelState::uninitialized));
}

// Ends a load or a pull, or waits for the end of one that is being ended; everything else is left alone.
void Requests::serve(const request::Cancel& request, Reply reply) {
  const auto model = model_of(request.model);
  if (!model && request.model && models_.source_pulls().has(*request.model)) {
    if (request.wait.value_or(false))
      return models_.source_pulls().cancel(*request.model, waiter_for(std::move(reply)));
    models_.source_pulls().cancel(*request.model, {});
    return reply(state_answer(ModelState::uninitialized));
  }
  if (!model) return reply(std::unexpected(model.error()));
  if (request.wait.value_or(false)) return (*model)->cancel(waiter_for(std::move(reply)));
  const ModelState state = (*model)->state();
  const bool is_at_rest =
      state == ModelState::uninitialized || state == ModelState::ready || state == ModelState::error;
  (*model)->cancel({});
  reply(state_answer(is_at_rest ? state : ModelState::uninitialized));
}

// The answer always waits for the file to be read: whether it is any good is what is asked.
void Requests::serve(const request::Reload& request, Reply reply) {
  if (request.model && !config::is_model_name(*request.model)) {
    return reply(std::unexpected(unknown_model_error(*request.model)));
  }
  if (const auto refused = refusal()) return reply(std::unexpected(*refused));
  const std::weak_ptr<const void> asker = reply.asker();
  commands_.reload(request.model, {[this, name = request.model, wait = request.wait.value_or(false),
                                    reply = std::move(reply)](const Result<void>& outcome) mutable {
                                     if (!outcome) return reply(std::unexpected(outcome.error()));
                                     reloaded(name, wait, std::move(reply));
                                   },
                                   asker});
}

// The state that the model comes to by what the file has changed. Where none is named and that is waited for,
// all that it has changed count.
void Requests::reloaded(const std::optional<std::string>& name, bool wait, Reply reply) {
  if (!name && wait && models_.default_model() != nullptr) return all_reloaded(std::move(reply));
  if (model::Model* model = name ? models_.find(*name) : models_.default_model()) {
    if (wait) return models_.when_settled(*model, waiter_for(std::move(reply)));
    return reply(state_answer(models_.leads_to(*model)));
  }
  // Where no model is configured there is no state to tell.
  if (!name) return reply(AnswerBody(answer::Done{}));
  if (wait) return models_.when_gone(*name, waiter_for(std::move(reply)));
  reply(state_answer(ModelState::uninitialized));
}

void Requests::all_reloaded(Reply reply) {
  const std::vector<std::string> names = models_.touched();
  const auto all =
      std::make_shared<WhenAllSettled>(models_.default_model()->name(), names.size(), std::move(reply));
  for (const std::string& name : names) {
    if (model::Model* model = models_.find(name)) {
      models_.when_settled(*model, all->waiter(all, name));
    } else {
      models_.when_gone(name, all->waiter(all, name));
    }
  }
}

void Requests::serve(const request::Pull& request, Reply reply) {
  const auto order = check_pull(request, config_, config::process_environment());
  if (!order) return reply(std::unexpected(order.error()));
  const auto model = order->model ? model_of(order->model) : Result<model::Model*>(nullptr);
  if (!model) return reply(std::unexpected(model.error()));
  if (const auto refused = refusal()) return reply(std::unexpected(*refused));
  const bool wait = request.wait.value_or(true);
  // Refusals come before the answer that says that it has begun.
  Answered answered(std::move(reply), wait);
  if (*model != nullptr) {
    (*model)->pull(answered.waiter());
  } else {
    models_.source_pulls().pull(order->source, answered.waiter());
  }
  answered.begun();
}

void Requests::serve(const request::Verify& request, Reply reply) {
  const auto model = model_of(request.model);
  if (!model) return reply(std::unexpected(model.error()));
  if (const auto refused = refusal()) return reply(std::unexpected(*refused));
  (*model)->verify(Answered(std::move(reply), true).waiter());
}

void Requests::serve(const request::Plan& request, Reply reply) {
  const auto model = model_of(request.model);
  if (!model) return reply(std::unexpected(model.error()));
  gguf::MemorySettings settings = model::memory_settings((*model)->config());
  settings.n_ctx = request.n_ctx.value_or(settings.n_ctx);
  settings.n_seq = request.n_seq.value_or(settings.n_seq);
  settings.kv_unified = request.kv_unified.value_or(settings.kv_unified);
  settings.type_k = request.kv_type_k.value_or(settings.type_k);
  settings.type_v = request.kv_type_v.value_or(settings.type_v);
  settings.n_ubatch = request.n_ubatch.value_or(settings.n_ubatch);
  settings.swa_full = request.swa_full.value_or(settings.swa_full);
  (*model)->plan(settings, [reply = std::move(reply)](Result<answer::Plan> plan) mutable {
    if (!plan) return reply(std::unexpected(std::move(plan.error())));
    reply(AnswerBody(std::move(*plan)));
  });
}

void Requests::serve(const request::Doctor&, Reply reply) {
  // The id is as long as the asker made it, in a line that had to fit as well.
  commands_.doctor([reply = std::move(reply)](const Result<answer::Doctor>& report) mutable {
    if (!report) return reply(std::unexpected(report.error()));
    reply(AnswerBody(doctor::fitted(*report, max_frame_bytes / 2)));
  });
}

void Requests::serve(const request::Drain&, Reply reply) {
  reply(AnswerBody(answer::Done{}));
  commands_.drain();
}

void Requests::serve(const auto& request, Reply reply) {
  const Verb verb = static_cast<Verb>(RequestBody(request).index());
  reply(fail(ErrorCode::unknown_type,
             fmt::format("ggufd " GGUFD_VERSION " does not serve the request \"{}\"", name_of(verb))));
}

std::optional<Error> Requests::refusal() const {
  if (!log_.is_draining()) return std::nullopt;
  return Error{ErrorCode::busy, "ggufd is stopping; ask the one that follows it"};
}

Result<model::Model*> Requests::model_of(const std::optional<std::string>& name) const {
  model::Model* model = name ? models_.find(*name) : models_.default_model();
  if (model != nullptr) return model;
  if (!name) return fail(ErrorCode::unknown_model, "no model is configured");
  return std::unexpected(unknown_model_error(*name));
}

}  // namespace ggufd::admin
