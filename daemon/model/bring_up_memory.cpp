// The second half of a bring-up: the good copy is mapped, brought into memory, and an engine started on it.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "memory/plan_answer.h"
#include "model/bring_up.h"
#include "model/bring_up_pool.h"
#include "model/page_lock.h"
#include "model/prefault.h"

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
  loaded_.promise = services_.memory.promise(model_.name);
  report_resident(0);
  // The files' size is all that is known before they are mapped; their header tells the rest.
  ask_for_memory({.weights_bytes = loaded_.size_bytes, .kv_bytes = {}, .compute_bytes = {}}, [this] {
    on_pool<MappedModel>(
        [copies = copies_, settings = memory_settings(model_)] { return map_model(copies, settings); },
        [this](MappedModel mapped) {
          loaded_.promise->mapped(loaded_.size_bytes);
          loaded_.mappings = std::move(mapped.mappings);
          loaded_.stamps = std::move(mapped.stamps);
          loaded_.planner = std::move(mapped.planner);
          plan_ = std::move(mapped.plan);
          is_embedding_model_ = mapped.is_embedding_model;
          advance();
        });
  });
}

void BringUp::admit() {
  ask_for_memory(memory::need_of(plan_), [this] { advance(); });
}

void BringUp::ask_for_memory(const memory::Need& need, std::move_only_function<void()> then) {
  AdmissionRequest request{
      .need = need,
      .shortage = [name = model_.name, planner = loaded_.planner, settings = memory_settings(model_)](
                      const memory::Need& needed, const memory::Room& room) {
        if (planner) return memory::shortage(name, *planner, settings, needed, room);
        return fmt::format("{} needs at least {}; there is {}; unload another model, or choose a smaller one",
                           name, to_string(needed), to_string(room));
      }};
  begin(services_.memory.ask(loaded_.promise, std::move(request),
                             [this, then = std::move(then)](Result<void> admitted) mutable {
                               operation_.reset();
                               if (!admitted) return stop(std::move(admitted.error()));
                               if (is_cancelled_) return stop(fail(ErrorCode::cancelled, "").error());
                               then();
                             }));
}

void BringUp::prefault() {
  begin(model::prefault(services_.loop, copies_, loaded_.mappings,
                        {.on_progress =
                             [this](std::uint64_t bytes) {
                               // That all of it is there is said once it was counted.
                               if (bytes < loaded_.size_bytes) report_resident(bytes);
                             },
                         .on_done =
                             [this](const Result<std::uint64_t>& resident_bytes) {
                               operation_.reset();
                               if (!resident_bytes) return stop(resident_bytes.error());
                               prefaulted(*resident_bytes);
                             }}));
}

void BringUp::prefaulted(std::uint64_t resident_bytes) {
  if (resident_bytes < loaded_.size_bytes) {
    callbacks_.on_warning(
        "not_resident",
        fmt::format("{} of {} stayed in memory: something else takes what was free; the rest is "
                    "read from the disk when it is used",
                    memory::amount(resident_bytes), memory::amount(loaded_.size_bytes)));
  }
  report_resident(resident_bytes);
  advance();
}

void BringUp::report_resident(std::uint64_t bytes) {
  // Progress never runs backwards, even where pages do.
  resident_bytes_ = std::max(resident_bytes_, bytes);
  callbacks_.on_phase(
      phase::Mmap{loaded_.path, resident_bytes_, loaded_.size_bytes, weakest_integrity(copies_)});
}

void BringUp::lock_pages() {
  if (!model_.mlock) return advance();
  begin(model::lock_pages(services_.loop, loaded_.mappings, [this](Result<void> locked) {
    operation_.reset();
    if (locked) {
      loaded_.promise->locked();
      return advance();
    }
    if (locked.error().code != ErrorCode::out_of_memory_budget) return stop(std::move(locked.error()));
    callbacks_.on_warning("mlock_refused", locked.error().message);
    advance();
  }));
}

// What is free may have become less while the weights were read: it is asked once more. llama-server
// allocates its cache itself; until then there is the plan.
void BringUp::allocate_kv_cache() {
  if (!plan_.kv) {
    const std::string_view what = program_ ? "the KV cache is in no memory plan" : "no KV cache is allocated";
    callbacks_.on_warning("kv_unknown", fmt::format("{}: {}", what, plan_.kv_unknown));
    return advance();
  }
  report_kv_cache({});
  if (plan_.kv->bytes() == 0) return advance();
  ask_for_memory(memory::need_of(plan_), [this] {
    if (program_) {
      loaded_.planned_kv_bytes = plan_.kv->bytes();
      return advance();
    }
    loaded_.promise->mapped(plan_.kv->bytes());
    begin(model::allocate_kv_cache(services_.loop, *plan_.kv,
                                   {.on_progress =
                                        [this](std::uint64_t bytes) {
                                          loaded_.promise->taken(bytes);
                                          report_kv_cache(bytes);
                                        },
                                    .on_done =
                                        [this](Result<std::shared_ptr<KvCache>> cache) {
                                          operation_.reset();
                                          if (!cache) return stop(std::move(cache.error()));
                                          loaded_.kv_cache = std::move(*cache);
                                          advance();
                                        }}));
  });
}

void BringUp::report_kv_cache(std::optional<std::uint64_t> allocated_bytes) {
  callbacks_.on_phase(phase::KvCache{static_cast<std::uint32_t>(plan_.n_ctx), plan_.kv->bytes(),
                                     std::string(name_of(model_.kv_type_k)),
                                     std::string(name_of(model_.kv_type_v)), allocated_bytes});
}

}  // namespace ggufd::model
