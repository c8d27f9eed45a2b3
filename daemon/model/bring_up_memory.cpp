// The second half of a bring-up: the good copy is mapped, brought into memory, and an engine started on it.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "engine/resident.h"
#include "model/bring_up.h"
#include "model/bring_up_pool.h"

namespace ggufd::model {
namespace {

// What holds for all files: a seal is more than a hash just now, and that more than a stamp.
Integrity weakest_integrity(const Copies& copies) {
  const auto holds_for_one = [&](Integrity integrity) {
    return std::ranges::any_of(copies, [&](const auto& copy) { return copy->integrity == integrity; });
  };
  if (holds_for_one(Integrity::stat_cached)) return Integrity::stat_cached;
  return holds_for_one(Integrity::hashed) ? Integrity::hashed : Integrity::kernel_enforced;
}

}  // namespace

// --- Bring it into memory.

void BringUp::map() {
  deadline_.start_once(std::uint64_t{model_.load_timeout_s} * 1000);
  loaded_.size_bytes = total_bytes(copies_);
  loaded_.digest = copies_.front()->digest;
  loaded_.copies = copies_;
  report_resident(0);
  on_pool<MappedModel>(
      [copies = copies_, settings = memory_settings(model_)] { return map_model(copies, settings); },
      [this](MappedModel mapped) {
        loaded_.mappings = std::move(mapped.mappings);
        architecture_ = std::move(mapped.architecture);
        plan_ = std::move(mapped.plan);
        advance();
      });
}

void BringUp::prefault() {
  in_slices(
      {.total_bytes = loaded_.size_bytes},
      [mappings = loaded_.mappings](std::uint64_t offset, std::uint64_t length) {
        return populate_for_reading(mappings, offset, length);
      },
      [this](std::uint64_t bytes) { report_resident(bytes); }, [this] { advance(); });
}

void BringUp::report_resident(std::uint64_t bytes) {
  callbacks_.on_phase(phase::Mmap{loaded_.path, bytes, loaded_.size_bytes, weakest_integrity(copies_)});
}

void BringUp::allocate_kv_cache() {
  if (!plan_.kv) {
    callbacks_.on_warning("kv_unknown", fmt::format("no KV cache is allocated: {}", plan_.kv_unknown));
    return advance();
  }
  const std::uint64_t bytes = plan_.kv->bytes();
  callbacks_.on_phase(phase::KvCache{static_cast<std::uint32_t>(plan_.n_ctx), bytes,
                                     std::string(name_of(model_.kv_type_k)),
                                     std::string(name_of(model_.kv_type_v))});
  if (bytes == 0) return advance();
  auto region = map_anonymous(bytes);
  if (!region) return stop(std::move(region.error()));
  loaded_.kv_cache = std::make_shared<MemoryRegion>(std::move(*region));
  in_slices(
      {.total_bytes = bytes},
      [cache = loaded_.kv_cache](std::uint64_t offset, std::uint64_t length) {
        return populate_for_writing(*cache, offset, length);
      },
      [](std::uint64_t) {}, [this] { advance(); });
}

void BringUp::start_engine() {
  if (model_.engine == config::EngineChoice::llama_server) {
    return stop({ErrorCode::engine_not_found,
                 fmt::format("{} asks for the engine llama-server, which ggufd " GGUFD_VERSION
                             " does not run; set its engine to resident or auto",
                             model_.name)});
  }
  if (model_.engine == config::EngineChoice::automatic) {
    callbacks_.on_warning(
        "engine_resident",
        "no llama-server is run: the model is in memory, and nothing is inferred; engine resident says "
        "so without this warning");
  }
  auto engine = engine::start_resident(services_.loop,
                                       engine::engine_socket_path(services_.runtime_folder, model_.name),
                                       {.model = model_.name,
                                        .architecture = architecture_,
                                        .n_ctx = static_cast<std::uint32_t>(plan_.n_ctx),
                                        .mapped_bytes = loaded_.mapped_bytes(),
                                        .kv_bytes = loaded_.kv_bytes()});
  if (!engine) return stop(std::move(engine.error()));
  loaded_.engine = std::move(*engine);
  advance();
}

}  // namespace ggufd::model
