#include "ctl/planning.h"

#include <utility>

#include "ctl/configured.h"
#include "ctl/model_headers.h"
#include "ctl/model_place.h"
#include "memory/limits.h"
#include "memory/plan_answer.h"
#include "protocol/client.h"

namespace ggufd::ctl {
namespace {

request::Plan request_of(const std::string& model, const PlanFlags& flags, const PlanChange& change) {
  return {.model = model,
          .n_ctx = change.n_ctx ? change.n_ctx : flags.n_ctx,
          .n_seq = flags.n_seq,
          .kv_unified = flags.kv_unified,
          .kv_type_k = change.kv_types ? change.kv_types : flags.kv_type_k,
          .kv_type_v = change.kv_types ? change.kv_types : flags.kv_type_v,
          .n_ubatch = flags.n_ubatch,
          .swa_full = flags.swa_full};
}

// --- The daemon

class DaemonPlanning final : public Planning {
 public:
  DaemonPlanning(Client client, std::string model, PlanFlags flags, std::chrono::milliseconds patience)
      : client_(std::move(client)), model_(std::move(model)), flags_(std::move(flags)), patience_(patience) {}

  Result<Planned> plan(const PlanChange& change) override {
    if (change.n_ctx || change.kv_types) return ask(change);
    if (!unchanged_) unchanged_ = ask(change);
    return *unchanged_;
  }
  std::string title() const override { return model_; }
  std::string error_document() const override { return error_document_; }

 private:
  Result<Planned> ask(const PlanChange& change) {
    error_document_.clear();
    const auto answer = client_.ask<answer::Plan>(request_of(model_, flags_, change), deadline_in(patience_));
    if (answer) return Planned{*answer, client_.line()};
    if (answer.error().kind == ClientError::Kind::refused) error_document_ = client_.line();
    if (answer.error().kind == ClientError::Kind::timed_out)
      return fail(ErrorCode::internal, "the daemon has not answered in time");
    return std::unexpected(answer.error().error);
  }

  Client client_;
  std::string model_;
  PlanFlags flags_;
  std::chrono::milliseconds patience_;
  std::optional<Result<Planned>> unchanged_;  // the flags' own plan is asked for once
  std::string error_document_;
};

// Null where there is no daemon.
std::expected<std::unique_ptr<Planning>, int> ask_daemon(Context& context, const std::string& model,
                                                         const PlanFlags& flags) {
  const auto socket = admin_socket(context);
  if (!socket) return nullptr;
  auto client = Client::connect(*socket, deadline_in(context.answer_timeout));
  if (client)
    return std::make_unique<DaemonPlanning>(std::move(*client), model, flags, context.answer_timeout);
  if (client.error().kind == ClientError::Kind::no_daemon) return nullptr;
  context.complain(client.error().error.message);
  return std::unexpected(failed);
}

// The daemon can't say, and somebody else may.
bool is_left_to_us(ErrorCode code) {
  return code == ErrorCode::not_in_store || code == ErrorCode::unknown_model ||
         code == ErrorCode::unknown_type;
}

// --- Here

class HeaderPlanning final : public Planning {
 public:
  HeaderPlanning(std::string title, gguf::MemoryPlanner planner, gguf::MemorySettings settings,
                 std::optional<memory::Room> room)
      : title_(std::move(title)),
        planner_(std::move(planner)),
        settings_(std::move(settings)),
        room_(std::move(room)) {}

  Result<Planned> plan(const PlanChange& change) override {
    gguf::MemorySettings settings = settings_;
    if (change.n_ctx) settings.n_ctx = *change.n_ctx;
    if (change.kv_types) settings.type_k = settings.type_v = *change.kv_types;
    auto answer = memory::plan_answer(planner_, settings, room_ ? &*room_ : nullptr);
    if (!answer) return std::unexpected(answer.error());
    std::string document = to_json(*answer);
    return Planned{std::move(*answer), std::move(document)};
  }
  std::string title() const override { return title_; }

 private:
  std::string title_;
  gguf::MemoryPlanner planner_;
  gguf::MemorySettings settings_;
  std::optional<memory::Room> room_;
};

gguf::MemorySettings settings_of(const config::ModelConfig& model, const PlanFlags& flags) {
  gguf::MemorySettings settings;
  settings.n_ctx = flags.n_ctx.value_or(model.n_ctx);
  settings.n_seq = flags.n_seq.value_or(model.n_seq);
  settings.kv_unified = flags.kv_unified.value_or(model.kv_unified);
  settings.type_k = flags.kv_type_k.value_or(std::string(name_of(model.kv_type_k)));
  settings.type_v = flags.kv_type_v.value_or(std::string(name_of(model.kv_type_v)));
  settings.n_ubatch = flags.n_ubatch.value_or(model.n_ubatch);
  settings.swa_full = flags.swa_full.value_or(false);
  return settings;
}

std::optional<memory::Room> room_of(Context& context, const config::Config& config) {
  const auto limits = memory::read_limits();
  if (!limits) {
    context.complain(limits.error().message);
    return std::nullopt;
  }
  return memory::Room{.limits = memory::available_memory(*limits),
                      .held = {},
                      .headroom_bytes = config.memory_headroom_bytes};
}

std::expected<std::unique_ptr<Planning>, int> plan_here(Context& context, const std::string& word,
                                                        const PlanFlags& flags) {
  const auto refuse = [&](const Error& error) {
    context.complain(error.message);
    return std::unexpected(failed);
  };
  const Configured configured = read_configured(context);
  const config::Config config = configured.config.value_or(config::Config());
  // Of a model's name, opening the store says so.
  if (!configured.why_unreadable.empty() && !is_model_word(word))
    context.complain(configured.why_unreadable + "; the defaults hold");
  const auto place = find_model(context, configured, word);
  if (!place) return refuse(place.error());
  const auto headers = read_headers(context, config.fetch, *place);
  if (!headers) return refuse(headers.error());
  auto planner = planner_of(*headers);
  if (!planner) return refuse(planner.error());
  const config::ModelConfig model = place->model.value_or(config::ModelConfig());
  return std::make_unique<HeaderPlanning>(place->title, std::move(*planner), settings_of(model, flags),
                                          room_of(context, config));
}

}  // namespace

Result<answer::Plan> plan_of_stored(Context& context, const Configured& configured,
                                    const config::ModelConfig& model) {
  const auto place = find_model(context, configured, model.name);
  if (!place) return std::unexpected(place.error());
  if (place->paths.empty()) return fail(ErrorCode::not_in_store, "it is not in the store yet");
  const config::Config config = configured.config.value_or(config::Config());
  const auto headers = read_headers(context, config.fetch, *place);
  if (!headers) return std::unexpected(headers.error());
  const auto planner = planner_of(*headers);
  if (!planner) return std::unexpected(planner.error());
  const auto room = room_of(context, config);
  return memory::plan_answer(*planner, settings_of(model, {}), room ? &*room : nullptr);
}

std::expected<std::unique_ptr<Planning>, int> open_planning(Context& context, const std::string& word,
                                                            const PlanFlags& flags) {
  if (!is_model_word(word)) return plan_here(context, word, flags);
  auto daemon = ask_daemon(context, word, flags);
  if (!daemon) return daemon;
  if (*daemon == nullptr) return plan_here(context, word, flags);
  const auto tried = (*daemon)->plan({});
  if (tried || !is_left_to_us(tried.error().code)) return daemon;
  if (tried.error().code == ErrorCode::not_in_store)
    context.complain(
        "the daemon does not have it yet: planned from its source, without what its models hold");
  return plan_here(context, word, flags);
}

}  // namespace ggufd::ctl
