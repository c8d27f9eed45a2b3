// The daemon's models.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/blob_check.h"
#include "model/model.h"
#include "model/source_pulls.h"

namespace ggufd::model {

class Models final : public Evictor {
 public:
  explicit Models(Services& services);
  virtual ~Models();
  Models(const Models&) = delete;
  Models& operator=(const Models&) = delete;

  // In the configuration's order.
  const std::vector<std::unique_ptr<Model>>& all() const { return models_; }
  // Null where there is none of that name in the configuration.
  Model* find(std::string_view name) const;
  // Of all(), then of those that are no longer configured and still unload.
  std::vector<answer::ModelStatus> statuses() const;
  // Null where none is configured.
  Model* default_model() const;

  // Loads those that are to be loaded at boot.
  void load_at_boot();
  // The services' configuration was read again and `before` is what it was. New models are made, and loaded
  // where that is to be at boot; changed ones are told (Model::reconfigure); those that it does not have any
  // more unload, with the reason reload, and go. A model whose new bytes could not be had is told again. With
  // `only`, all of this for that one model.
  void apply(const config::Config& before, const std::optional<std::string>& only = {});
  // Those that it has changed, added or removed, by their names; the default one too.
  const std::vector<std::string>& touched() const { return touched_; }
  // Where what that has begun leads to, and when it has got there. One that has come back before it had gone
  // is loaded, where that is to be at boot, once it has.
  ModelState leads_to(const Model& model) const;
  void when_settled(Model& model, Model::Waiter waiter);
  // Told when a model has gone that was removed: at once where there is none of that name.
  void when_gone(std::string_view name, Model::Waiter waiter);

  // Unloads all, with the reason shutdown, and ends all pulls; on_done comes once, when nothing of it goes
  // on.
  void unload_all(std::function<void()> on_done);

  // Those that fetch a source into the store under a name that is none of the configured models'.
  SourcePulls& source_pulls() { return source_pulls_; }

  // A mapping of one of them has failed.
  void check_mapped_files();

  // A blob was found bad and put away, `names` are those of the manifests that name it: a warning of every
  // model that uses it. False where none does.
  bool tell_bad_blob(const BadBlob& bad, const std::vector<std::string>& names);

  std::vector<Candidate> candidates() const override;
  void evict(const std::string& model, std::function<void()> on_done) override;

 private:
  using List = std::vector<std::unique_ptr<Model>>;

  void touch(const std::string& name);
  bool is_busy(std::string_view name) const;
  void remove_unconfigured();
  void configure(const config::ModelConfig& config, bool has_new_engine);
  void come_back(List::iterator place, const config::ModelConfig& config, bool has_new_engine);
  void gone(const std::string& name);
  void put_in_order();

  std::optional<ModelState> state_of(std::string_view name) const;

  Services& services_;
  SourcePulls source_pulls_;
  List models_;
  List going_;  // no longer configured: they end what they do
  // Who waits for those that are configured again while they end what they did, by name.
  std::map<std::string, Waiters<ModelState>, std::less<>> coming_back_;
  std::vector<std::string> touched_;  // by the last apply()
  std::string default_name_;
  bool is_stopping_ = false;  // the daemon is
};

}  // namespace ggufd::model
