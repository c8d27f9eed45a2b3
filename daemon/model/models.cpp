#include "model/models.h"

namespace ggufd::model {

Models::Models(Services& services) : default_name_(services.config.default_model) {
  for (const config::ModelConfig& config : services.config.models) {
    models_.push_back(std::make_unique<Model>(services, config, config.name == default_name_));
  }
}

Model* Models::find(std::string_view name) const {
  for (const auto& model : models_) {
    if (model->name() == name) return model.get();
  }
  return nullptr;
}

Model* Models::default_model() const {
  return find(default_name_);
}

void Models::load_at_boot() {
  for (const auto& model : models_) {
    // The outcome is published; nobody else waits for it.
    if (model->config().load == config::Load::boot) model->load([](const Result<ModelState>&) {});
  }
}

void Models::unload_all(std::function<void()> on_done) {
  // Called when the last holder lets go.
  const std::shared_ptr<void> all_unloaded(nullptr, [on_done = std::move(on_done)](void*) { on_done(); });
  for (const auto& model : models_) {
    model->unload(UnloadReason::shutdown, [all_unloaded](const Result<ModelState>&) {});
  }
}

}  // namespace ggufd::model
