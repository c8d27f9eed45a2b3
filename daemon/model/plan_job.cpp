#include "model/plan_job.h"

#include <fmt/core.h>

#include <memory>
#include <utility>
#include <vector>

#include "loop/offload.h"
#include "memory/plan_answer.h"
#include "model/header_look.h"
#include "model/mapped_model.h"
#include "model/model_files.h"

namespace ggufd::model {
namespace {

// What is read for a plan. A machine that does not tell its memory has no limits.
struct Basis {
  gguf::MemoryPlanner planner;
  std::optional<memory::Limits> limits;
};

Result<gguf::MemoryPlanner> planner_of_files(const store::BlobStore& store,
                                             const config::ModelConfig& model) {
  const auto files = model_files(store, model);
  if (!files) return std::unexpected(files.error());
  auto found = find_local_copies(store, model, *files);
  if (!found) return std::unexpected(found.error());
  Copies copies;
  for (auto& copy : *found) {
    if (!copy) {
      return fail(
          ErrorCode::not_in_store,
          fmt::format("{} is not in the store {}; `ggufctl pull {}` fetches it, `ggufctl plan` with its "
                      "URL looks at the header alone",
                      model.name, store.root(), model.name));
    }
    copies.push_back(std::make_shared<LocalCopy>(std::move(*copy)));
  }
  auto mapped = map_model(copies, memory_settings(model));
  if (!mapped) return std::unexpected(mapped.error());
  return std::move(*mapped->planner);
}

Result<Basis> read_basis(const store::BlobStore& store, const config::ModelConfig& model,
                         std::optional<gguf::MemoryPlanner> planner, const memory::SystemFolders& system) {
  if (!planner) {
    auto read = planner_of_files(store, model);
    if (!read) return std::unexpected(std::move(read.error()));
    planner = std::move(*read);
  }
  Basis basis{.planner = std::move(*planner), .limits = {}};
  if (auto limits = memory::read_limits(system)) basis.limits = std::move(*limits);
  return basis;
}

}  // namespace

loop::OperationPtr plan_model(Services& services, const config::ModelConfig& model,
                              std::optional<gguf::MemoryPlanner> planner, gguf::MemorySettings settings,
                              std::move_only_function<void(Result<answer::Plan>)> on_done) {
  return loop::offload<Basis>(
      services.loop,
      [store = services.store, model, planner = std::move(planner), system = services.memory.system()](
          loop::CancelToken) mutable { return read_basis(store, model, std::move(planner), system); },
      [&memory = services.memory, name = model.name, settings = std::move(settings),
       on_done = std::move(on_done)](Result<Basis> basis) mutable {
        if (!basis) return on_done(std::unexpected(std::move(basis.error())));
        std::optional<memory::Room> room;
        if (basis->limits) room = memory.room_for(name, *basis->limits);
        on_done(memory::plan_answer(basis->planner, settings, room ? &*room : nullptr));
      });
}

}  // namespace ggufd::model
