// The second half of a bring-up: the good copy is mapped, brought into memory, and an engine started on it.
#include <fmt/core.h>

#include <utility>

#include "engine/resident.h"
#include "gguf/validate.h"
#include "model/bring_up.h"
#include "model/bring_up_pool.h"

namespace ggufd::model {

// --- Bring it into memory.

void BringUp::map() {
  deadline_.start_once(std::uint64_t{model_.load_timeout_s} * 1000);
  loaded_.path = copy_->path;
  loaded_.size_bytes = copy_->size_bytes;
  loaded_.digest = copy_->digest;
  report_resident(0);
  struct Mapped {
    std::shared_ptr<MemoryRegion> region;
    std::string architecture;
    gguf::MemoryPlan plan;
  };
  gguf::MemorySettings settings{.n_ctx = model_.n_ctx,
                                .n_seq = model_.n_seq,
                                .kv_unified = model_.kv_unified,
                                .type_k = std::string(name_of(model_.kv_type_k)),
                                .type_v = std::string(name_of(model_.kv_type_v)),
                                .n_ubatch = model_.n_ubatch};
  on_pool<Mapped>(
      [copy = copy_, settings = std::move(settings)]() -> Result<Mapped> {
        const std::string& path = copy->path;
        const std::uint64_t size = copy->size_bytes;
        if (size == 0) return fail(ErrorCode::invalid_gguf, fmt::format("{} is empty", path));
        auto region = map_file(copy->fd(), size, path);
        if (!region) return std::unexpected(region.error());
        // What is mapped beyond a file's end cannot be read without a signal.
        const auto now = store::stat_of(copy->fd(), path);
        if (!now) return std::unexpected(now.error());
        if (static_cast<std::uint64_t>(now->st_size) < size) {
          return fail(ErrorCode::map_failed,
                      fmt::format("{} had {} bytes and has become shorter; load it again when it "
                                  "is complete",
                                  path, size));
        }
        auto header = gguf::read_model(region->bytes(), size);
        if (!header) return fail(header.error().code, fmt::format("{}: {}", path, header.error().message));
        auto plan = gguf::plan_memory(*header, settings);
        if (!plan) return fail(plan.error().code, fmt::format("{}: {}", path, plan.error().message));
        // The header's views end here: from now on only the prefaulting, which survives it, reads the
        // mapping.
        return Mapped{std::make_shared<MemoryRegion>(std::move(*region)), std::string(header->architecture()),
                      std::move(*plan)};
      },
      [this](Mapped mapped) {
        loaded_.mapping = std::move(mapped.region);
        architecture_ = std::move(mapped.architecture);
        plan_ = std::move(mapped.plan);
        advance();
      });
}

void BringUp::prefault() {
  in_slices(
      {.total_bytes = loaded_.size_bytes},
      [region = loaded_.mapping](std::uint64_t offset, std::uint64_t length) {
        return populate_for_reading(*region, offset, length);
      },
      [this](std::uint64_t bytes) { report_resident(bytes); }, [this] { advance(); });
}

void BringUp::report_resident(std::uint64_t bytes) {
  callbacks_.on_phase(phase::Mmap{loaded_.path, bytes, loaded_.size_bytes, copy_->integrity});
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
