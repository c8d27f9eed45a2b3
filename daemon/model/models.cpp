#include "model/models.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "protocol/utf8.h"

namespace ggufd::model {

namespace {

// Of a source that a client has sent, so much is logged.
constexpr std::size_t max_logged_bytes = 512;

}  // namespace

struct Models::SourcePull {
  config::ModelConfig source;
  Waiters<answer::Blob> waiters = {};
  std::unique_ptr<PullJob> job = nullptr;
};

Models::Models(Services& services) : services_(services), default_name_(services.config.default_model) {
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
  if (source_pulls_.empty()) return;
  stopping_ = all_unloaded;
  for (const auto& [number, pull] : source_pulls_) pull->job->cancel();
}

void Models::pull(const config::ModelConfig& source, Model::BlobWaiter waiter) {
  const auto same =
      std::ranges::find_if(source_pulls_, [&](const auto& entry) { return entry.second->source == source; });
  if (same != source_pulls_.end()) return same->second->waiters.add(std::move(waiter));
  if (source_pulls_.size() >= max_source_pulls) {
    return waiter(
        fail(ErrorCode::busy, fmt::format("{} sources are being pulled; ask again when one of them is here",
                                          source_pulls_.size())));
  }
  const std::uint64_t number = next_source_pull_++;
  SourcePull& pull = *source_pulls_.emplace(number, std::make_unique<SourcePull>(source)).first->second;
  pull.waiters.add(std::move(waiter));
  spdlog::info("pulling {} as {}", utf8_prefix(config::to_string(source.sources.front()), max_logged_bytes),
               source.name);
  pull.job = std::make_unique<PullJob>(
      services_, source, PullJob::Name::new_one,
      PullJobCallbacks{
          .on_phase = [](const LoadPhase&) {},
          .on_warning = [name = source.name](
                            const std::string& code,
                            const std::string& text) { spdlog::warn("{}: {}: {}", name, code, text); },
          .on_done = [this,
                      number](const Result<answer::Blob>& result) { source_pull_ended(number, result); }});
}

void Models::source_pull_ended(std::uint64_t number, const Result<answer::Blob>& result) {
  auto ended = source_pulls_.extract(number);
  SourcePull& pull = *ended.mapped();
  if (result) {
    spdlog::info("{}: pulled, {} bytes at {}", pull.source.name, result->bytes, result->path);
  } else {
    spdlog::warn("{}: not pulled: {}: {}", pull.source.name, name_of(result.error().code),
                 result.error().message);
  }
  pull.waiters.tell(result);
  // The job is calling: it is destroyed when the turn ends, not under its own feet.
  services_.loop.at_end_of_turn([ended = std::move(ended.mapped())] {});
  if (source_pulls_.empty()) stopping_.reset();
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
