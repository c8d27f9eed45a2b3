// From a configured model to one that is in memory with its engine started: the steps, in order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/llama_order.h"
#include "gguf/memory_plan.h"
#include "loop/offload.h"
#include "loop/operation.h"
#include "loop/timer.h"
#include "model/loaded_model.h"
#include "model/local_copy.h"
#include "model/mapped_model.h"
#include "model/model_files.h"
#include "model/pull_files.h"
#include "model/services.h"
#include "protocol/load_phase.h"

namespace ggufd::model {

// What a bring-up tells its model. Each may cancel the bring-up; only on_done may destroy it.
struct BringUpCallbacks {
  // A phase begins or, of the same kind as before, goes on. The model decides which of the latter are
  // published.
  std::function<void(LoadPhase)> on_phase;
  std::function<void(std::string code, std::string message)> on_warning;
  // The engine has ended, and will be started again; its phases follow.
  std::function<void(const engine::EngineDown&)> on_engine_down;
  // The bytes are known to have this digest, of the first file where there are several; the size is of all.
  std::function<void(const store::Digest&, std::uint64_t size_bytes)> on_identified;
  // The end, with `cancelled` where it was. Whatever was begun is undone by then.
  std::move_only_function<void(Result<LoadedModel>)> on_done;
};

// Begins when it is made. Destroying it is allowed at any time and leaves nothing behind but what the store
// keeps.
class BringUp final : public loop::Operation, private engine::EngineUser {
 public:
  BringUp(Services& services, const config::ModelConfig& model, BringUpCallbacks callbacks);

  void cancel() override;

  // Of the engine, once there is one, also after its end.
  const std::optional<answer::EngineStatus>& engine_status();

 private:
  // A step starts one operation and ends, in a later turn, by advance(), go_to() or stop(). A step with
  // nothing (more) to do advances at once.
  using Step = void (BringUp::*)();
  static const Step steps[];

  void check_local();
  void choose_engine();
  void pull();
  void keep();
  void verify();
  void map();
  void pin();
  void admit();
  void prefault();
  void lock_pages();
  void allocate_kv_cache();
  void start_engine();

  void on_engine_phase(LoadPhase phase) override;
  void on_engine_warning(std::string code, std::string message) override;
  void on_engine_up() override;
  void on_engine_down(const engine::EngineDown& down) override;
  void on_engine_failed(const Error& error) override;

  void run(Step step);
  void advance();
  void go_to(Step step);
  void stop(Error error);
  void finish(Result<LoadedModel> result);

  void begin(loop::OperationPtr operation);
  // Runs `work` on the pool; its value goes to `then`, its error ends the bring-up.
  template <class T>
  void on_pool(typename std::move_only_function<Result<T>()> work, std::move_only_function<void(T)> then);
  // The same for work in slices.
  void in_slices(loop::Slices slices, std::function<Result<void>(std::uint64_t, std::uint64_t)> work,
                 std::move_only_function<void(std::uint64_t)> on_progress,
                 std::move_only_function<void()> then);

  void found_engine(engine::LlamaProgram program);
  void no_engine(Error error);
  void start_resident();
  void start_llama_server(const std::string& api_key);
  void found(std::vector<ModelFile> files, std::vector<std::optional<LocalCopy>> copies);
  void pulled(std::vector<std::optional<fetch::Pulled>> files);
  void hash(std::size_t index);
  void hashed(std::size_t index, const store::Digest& digest);
  void put_away(std::size_t index, const store::Digest& actual);
  void quarantined(std::size_t index, const phase::Quarantine& evidence);
  bool is_split() const { return files_.size() > 1; }
  void report_resident(std::uint64_t bytes);
  // Goes on with `then` where there is memory for so much of the model.
  void ask_for_memory(const memory::Need& need, std::move_only_function<void()> then);
  void prefaulted(std::uint64_t resident_bytes);
  void report_kv_cache(std::optional<std::uint64_t> allocated_bytes);

  Services& services_;
  const config::ModelConfig model_;
  BringUpCallbacks callbacks_;
  Step current_ = nullptr;
  loop::OperationPtr operation_;  // of the running step
  loop::Timer deadline_;          // load_timeout_s, from `map` on
  bool is_cancelled_ = false;
  std::optional<Error> reason_;  // why it was cancelled, where not by request

  std::vector<ModelFile> files_;
  Copies copies_;  // one a file, null while it is not here; shared with the work that reads them
  std::vector<bool> has_been_put_away_;  // one a file: a bad copy of it; the fresh one is the last
  bool has_pulled_ = false;              // the store has to be told
  bool has_verified_ = false;            // something was hashed here since
  config::Source pulled_from_;           // where the first file came from
  std::string pulled_revision_;
  bool has_chosen_engine_ = false;
  std::optional<engine::LlamaProgram> program_;  // none: the resident engine
  gguf::MemoryPlan plan_;
  bool is_embedding_model_ = false;
  std::uint64_t resident_bytes_ = 0;  // the most that was reported
  LoadedModel loaded_;
  std::optional<answer::EngineStatus> engine_status_;
};

}  // namespace ggufd::model
