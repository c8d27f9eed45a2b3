// The daemon's models.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "model/model.h"

namespace ggufd::model {

class Models {
 public:
  explicit Models(Services& services);

  // In the configuration's order.
  const std::vector<std::unique_ptr<Model>>& all() const { return models_; }
  // Null where there is none of that name.
  Model* find(std::string_view name) const;
  // Null where none is configured.
  Model* default_model() const;

  // Loads those that are to be loaded at boot.
  void load_at_boot();
  // Unloads all, with the reason shutdown; on_done comes once, when the last one is.
  void unload_all(std::function<void()> on_done);

 private:
  std::vector<std::unique_ptr<Model>> models_;
  std::string_view default_name_;
};

}  // namespace ggufd::model
