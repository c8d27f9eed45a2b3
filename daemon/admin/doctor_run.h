// The request `doctor`: what the daemon finds when it looks at everything that its models need.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "config/config.h"
#include "config/places.h"
#include "engine/llama_host.h"
#include "loop/loop.h"
#include "model/models.h"
#include "protocol/answer.h"

namespace ggufd::admin {

// One run at a time: who asks while one is under way is told its result. Used on the loop's thread.
class DoctorRuns {
 public:
  using Waiter = std::move_only_function<void(const Result<answer::Doctor>&)>;

  // All references outlive this. `places` are what the daemon was started with.
  DoctorRuns(loop::Loop& loop, model::Models& models, engine::LlamaHost& llama, const config::Config& config,
             config::PlaceOptions places);
  ~DoctorRuns();

  // Told once, never from inside this call but for `cancelled` behind a stop().
  void ask(Waiter waiter);
  // The daemon ends: who waits is told `cancelled`.
  void stop();

 private:
  struct Run;

  void begin();
  void gathered_one();
  void examine();

  loop::Loop& loop_;
  model::Models& models_;
  engine::LlamaHost& llama_;
  const config::Config& config_;
  const config::PlaceOptions places_;
  std::shared_ptr<Run> run_;
  bool is_stopped_ = false;
};

}  // namespace ggufd::admin
