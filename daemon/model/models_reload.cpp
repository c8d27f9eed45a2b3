// The models after the configuration was read again: who stays, who comes, who goes.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "model/config_difference.h"
#include "model/models.h"

namespace ggufd::model {
namespace {

auto place_by_name(auto& models, std::string_view name) {
  return std::ranges::find(models, name, [](const auto& model) -> std::string_view { return model->name(); });
}

}  // namespace

void Models::apply(const config::Config& before, const std::optional<std::string>& only) {
  const config::Config& now = services_.config;
  touched_.clear();
  // Who goes makes room, and leaves its names, for who comes.
  remove_unconfigured();
  if (default_name_ != now.default_model) {
    if (Model* was = default_model()) was->set_default(false);
    default_name_ = now.default_model;
  }
  const bool has_new_engine = now.llama_server != before.llama_server;
  for (const config::ModelConfig& config : now.models) {
    if (only && config.name != *only) continue;
    const config::ModelConfig* was = find_model(before, config.name);
    const bool was_busy = is_busy(config.name);
    configure(config, has_new_engine);
    const bool has_begun = is_busy(config.name) && (!was_busy || has_new_engine);
    if (was == nullptr || *was != config || has_begun) touch(config.name);
  }
  if (!default_name_.empty()) touch(default_name_);
  put_in_order();
  if (Model* is = default_model()) is->set_default(true);
  if (now.evict == before.evict) return;
  for (const auto& model : models_) model->watch_use();
}

void Models::touch(const std::string& name) {
  if (std::ranges::find(touched_, name) == touched_.end()) touched_.push_back(name);
}

bool Models::is_busy(std::string_view name) const {
  const Model* model = find(name);
  return model != nullptr && model->is_changing();
}

void Models::remove_unconfigured() {
  std::vector<Model*> to_unload;
  for (auto& model : models_) {
    if (find_model(services_.config, model->name()) != nullptr) continue;
    to_unload.push_back(going_.emplace_back(std::move(model)).get());
  }
  std::erase(models_, nullptr);
  for (Model* model : to_unload) {
    spdlog::info("{}: it is not in the configuration any more", model->name());
    touch(model->name());
    // May be called at once; the model lives on until the turn ends.
    model->unload(UnloadReason::reload,
                  [this, name = model->name()](const Result<ModelState>&) { gone(name); });
    model->set_default(false);
  }
}

void Models::configure(const config::ModelConfig& config, bool has_new_engine) {
  if (Model* model = find(config.name)) {
    const bool is_now_of_boot =
        model->config().load == config::Load::manual && config.load == config::Load::boot;
    model->reconfigure(config, has_new_engine);
    if (is_now_of_boot && model->state() == ModelState::uninitialized) model->load({});
    return;
  }
  if (const auto place = place_by_name(going_, config.name); place != going_.end()) {
    return come_back(place, config, has_new_engine);
  }
  const auto& model =
      models_.emplace_back(std::make_unique<Model>(services_, config, config.name == default_name_));
  spdlog::info("{}: it is new in the configuration", config.name);
  if (config.load == config::Load::boot) model->load({});
}

// It ends what it does all the same, as it has said that it would; gone() goes on from there.
void Models::come_back(List::iterator place, const config::ModelConfig& config, bool has_new_engine) {
  spdlog::info("{}: it is in the configuration again", config.name);
  const auto& model = models_.emplace_back(std::move(*place));
  going_.erase(place);
  model->reconfigure(config, has_new_engine);
  if (config.load == config::Load::boot) coming_back_.try_emplace(config.name);
}

// Nothing of the model goes on any more.
void Models::gone(const std::string& name) {
  auto coming_back = coming_back_.extract(name);
  const auto place = place_by_name(going_, name);
  Model* back = place == going_.end() ? find(name) : nullptr;
  if (place != going_.end()) {
    // The model is calling: it is destroyed when the turn ends, not under its own feet.
    services_.loop.at_end_of_turn([ended = std::shared_ptr<Model>(std::move(*place))] {});
    going_.erase(place);
    services_.events.forget(name);
  }
  if (!coming_back) return;
  auto waiters = std::move(coming_back.mapped());
  const bool is_to_load = back != nullptr && back->config().load == config::Load::boot && !is_stopping_;
  if (!is_to_load) return waiters.tell(ModelState::uninitialized);
  back->load(
      [waiters = std::move(waiters)](const Result<ModelState>& outcome) mutable { waiters.tell(outcome); });
}

ModelState Models::leads_to(const Model& model) const {
  return coming_back_.contains(model.name()) ? ModelState::ready : model.leads_to();
}

void Models::when_settled(Model& model, Model::Waiter waiter) {
  const auto coming_back = coming_back_.find(model.name());
  if (coming_back == coming_back_.end()) return model.when_settled(std::move(waiter));
  coming_back->second.add(std::move(waiter));
}

void Models::when_gone(std::string_view name, Model::Waiter waiter) {
  const auto place = place_by_name(going_, name);
  if (place == going_.end()) return waiter(ModelState::uninitialized);
  (*place)->unload(UnloadReason::reload, std::move(waiter));
}

void Models::put_in_order() {
  const auto& configs = services_.config.models;
  std::ranges::sort(models_, {}, [&](const std::unique_ptr<Model>& model) {
    return std::ranges::find(configs, model->name(), &config::ModelConfig::name) - configs.begin();
  });
}

}  // namespace ggufd::model
