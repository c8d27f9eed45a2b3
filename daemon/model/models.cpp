#include "model/models.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace ggufd::model {

Models::Models(Services& services)
    : services_(services),
      source_pulls_(services, [this](std::string_view name) { return state_of(name); }),
      default_name_(services.config.default_model) {
  for (const config::ModelConfig& config : services.config.models) {
    models_.push_back(std::make_unique<Model>(services, config, config.name == default_name_));
  }
  services_.memory.set_evictor(this);
}

Models::~Models() {
  services_.memory.set_evictor(nullptr);
}

Model* Models::find(std::string_view name) const {
  for (const auto& model : models_) {
    if (model->name() == name) return model.get();
  }
  return nullptr;
}

std::vector<answer::ModelStatus> Models::statuses() const {
  std::vector<answer::ModelStatus> statuses;
  for (const auto& model : models_) statuses.push_back(model->status());
  for (const auto& model : going_) statuses.push_back(model->status());
  return statuses;
}

Model* Models::default_model() const {
  return find(default_name_);
}

void Models::load_at_boot() {
  for (const auto& model : models_) {
    // The outcome is published; nobody else waits for it.
    if (model->config().load == config::Load::boot) model->load({});
  }
}

void Models::unload_all(std::function<void()> on_done) {
  // Called when the last holder lets go.
  const std::shared_ptr<void> all_unloaded(nullptr, [on_done = std::move(on_done)](void*) { on_done(); });
  is_stopping_ = true;
  std::vector<Model*> to_unload;  // one that is going may have gone by the time that it is told
  for (const List* list : {&models_, &going_}) {
    for (const auto& model : *list) to_unload.push_back(model.get());
  }
  for (Model* model : to_unload) {
    model->unload(UnloadReason::shutdown, [all_unloaded](const Result<ModelState>&) {});
  }
  source_pulls_.cancel_all(all_unloaded);
}

// Of those that are going, too: they still speak under their names.
std::optional<ModelState> Models::state_of(std::string_view name) const {
  for (const List* list : {&models_, &going_}) {
    for (const auto& model : *list) {
      if (model->name() == name) return model->state();
    }
  }
  return std::nullopt;
}

void Models::check_mapped_files() {
  for (const auto& model : models_) model->check_mapped_files();
}

std::vector<Evictor::Candidate> Models::candidates() const {
  std::vector<Candidate> found;
  for (const auto& model : models_) {
    if (const auto since_ms = model->unused_since_ms()) found.push_back({model->name(), *since_ms});
  }
  return found;
}

void Models::evict(const std::string& model, std::function<void()> on_done) {
  find(model)->unload(UnloadReason::evicted,
                      [on_done = std::move(on_done)](const Result<ModelState>&) { on_done(); });
}

bool Models::tell_bad_blob(const BadBlob& bad, const std::vector<std::string>& names) {
  bool is_used = false;
  for (const auto& model : models_) {
    const bool is_named = std::ranges::find(names, model->name()) != names.end();
    if (!is_named && !model->uses(bad.expected)) continue;
    is_used = true;
    model->tell_bad_blob(
        fmt::format("{}; `ggufctl pull {}` fetches it again", to_string(bad), model->name()));
  }
  return is_used;
}

}  // namespace ggufd::model
