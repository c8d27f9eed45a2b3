#include "admin/requests.h"

#include <fmt/core.h>
#include <unistd.h>

#include <utility>

namespace ggufd::admin {
namespace {

AnswerBody state_answer(ModelState state) {
  return answer::State{state};
}

// The state that an operation leads to, told to `reply` when it is reached.
model::Model::Waiter waiter_for(RequestHandler::Reply reply) {
  return [reply = std::move(reply)](const Result<ModelState>& reached) mutable {
    if (reached) return reply(state_answer(*reached));
    reply(std::unexpected(reached.error()));
  };
}

}  // namespace

Requests::Requests(loop::Loop& loop, model::Models& models, Server& server, const StatusLog& log,
                   std::function<void()> drain)
    : loop_(loop),
      models_(models),
      server_(server),
      log_(log),
      drain_(std::move(drain)),
      started_ms_(loop.now_ms()) {}

void Requests::handle(Request request, const loop::PeerCredentials&, Reply reply) {
  std::visit([&](const auto& body) { serve(body, std::move(reply)); }, request.body);
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
    for (const auto& model : models_.all()) status.models.push_back(model->status());
  }
  reply(AnswerBody(std::move(status)));
}

void Requests::serve(const request::Load& request, Reply reply) {
  const auto model = model_of(request.model);
  if (!model) return reply(std::unexpected(model.error()));
  if (log_.is_draining())
    return reply(fail(ErrorCode::busy, "ggufd is stopping; ask the one that follows it"));
  if (request.wait.value_or(false)) return (*model)->load(waiter_for(std::move(reply)));
  if ((*model)->state() == ModelState::unloading)
    return (*model)->load(waiter_for(std::move(reply)));  // busy
  (*model)->load([](const Result<ModelState>&) {});
  reply(state_answer(ModelState::ready));
}

void Requests::serve(const request::Unload& request, Reply reply) {
  unload(request.model, request.wait.value_or(false), false, std::move(reply));
}

// Ends a load, or waits for the end of one that is being ended; everything else is left alone.
void Requests::serve(const request::Cancel& request, Reply reply) {
  unload(request.model, request.wait.value_or(false), true, std::move(reply));
}

void Requests::unload(const std::optional<std::string>& name, bool wait, bool only_a_load, Reply reply) {
  const auto model = model_of(name);
  if (!model) return reply(std::unexpected(model.error()));
  const ModelState state = (*model)->state();
  const bool is_at_rest =
      state == ModelState::uninitialized || state == ModelState::ready || state == ModelState::error;
  if (only_a_load && is_at_rest) return reply(state_answer(state));
  if (wait) return (*model)->unload(UnloadReason::request, waiter_for(std::move(reply)));
  (*model)->unload(UnloadReason::request, [](const Result<ModelState>&) {});
  reply(state_answer(ModelState::uninitialized));
}

void Requests::serve(const request::Drain&, Reply reply) {
  reply(AnswerBody(answer::Done{}));
  drain_();
}

void Requests::serve(const auto& request, Reply reply) {
  const Verb verb = static_cast<Verb>(RequestBody(request).index());
  reply(fail(ErrorCode::unknown_type,
             fmt::format("ggufd " GGUFD_VERSION " does not serve the request \"{}\"", name_of(verb))));
}

Result<model::Model*> Requests::model_of(const std::optional<std::string>& name) const {
  model::Model* model = name ? models_.find(*name) : models_.default_model();
  if (model != nullptr) return model;
  if (!name) return fail(ErrorCode::unknown_model, "no model is configured");
  return fail(ErrorCode::unknown_model,
              fmt::format("no model \"{}\" is configured; `ggufctl status` lists them", name->substr(0, 64)));
}

}  // namespace ggufd::admin
