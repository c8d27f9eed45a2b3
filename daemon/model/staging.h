// What a model's new configuration needs, had before what is loaded makes room for it.
#pragma once

#include "config/config.h"
#include "loop/operation.h"
#include "model/pull_job.h"
#include "model/services.h"
#include "protocol/answer.h"

namespace ggufd::model {

// Its llama-server is found and says what it is; its bytes are fetched and verified; its memory plan, with
// what is loaded given back, fits. What fails of that is the error, and nothing has changed but the store:
//   - engine_not_found, engine_failed, where `must_have_engine`;
//   - those of PullJob;
//   - those of map_model(), and out_of_memory_budget, unless other models may be evicted.
// Begins when it is made. Destroying it, at any time, ends it; only on_done may do so from a callback, at the
// end of the turn.
class Staging {
 public:
  Staging(Services& services, const config::ModelConfig& next, bool must_have_engine,
          PullJobCallbacks callbacks);
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

 private:
  void find_engine();
  void pull();
  void pulled(Result<answer::Blob> blob);
  void planned(const Result<answer::Plan>& plan);
  void end_step();
  void end(Result<answer::Blob> result);

  Services& services_;
  const config::ModelConfig next_;
  PullJobCallbacks callbacks_;
  loop::OperationPtr step_;
  answer::Blob blob_;  // once it is here
};

}  // namespace ggufd::model
