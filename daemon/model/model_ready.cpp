// A model while it is ready: whether it is used, and whether its bytes are still there.
#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "loop/offload.h"
#include "model/model.h"
#include "store/stat_stamp.h"

namespace ggufd::model {
namespace {

// Whether the files are as they were when they were mapped, as far as their size and times tell. map_failed
// where a mapping has failed, or a file is shorter than what is mapped of it. Blocks.
Result<bool> are_unchanged(const Copies& copies, const Mappings& mappings,
                           const std::vector<store::StatStamp>& before) {
  bool is_unchanged = true;
  for (std::size_t i = 0; i < copies.size(); ++i) {
    const LocalCopy& copy = *copies[i];
    const auto now = store::stat_stamp(copy.fd(), copy.path);
    if (!now) return std::unexpected(now.error());
    if (now->size_bytes < copy.size_bytes) {
      return fail(
          ErrorCode::map_failed,
          fmt::format("{} has {} bytes now and {} of them are mapped; put it back, then load the model "
                      "again",
                      copy.path, now->size_bytes, copy.size_bytes));
    }
    if (mappings[i]->has_failed()) {
      return fail(
          ErrorCode::map_failed,
          fmt::format("{} could not be read where it is mapped; check the disk, then load the model again",
                      copy.path));
    }
    if (i < before.size()) is_unchanged &= now->mtime_ns == before[i].mtime_ns;
  }
  return is_unchanged;
}

}  // namespace

// --- Use

std::optional<std::uint64_t> Model::unused_since_ms() const {
  if (state_ != ModelState::ready) return std::nullopt;
  const engine::Engine::Use use = loaded_->engine->use();
  if (use.is_busy) return std::nullopt;
  return std::max(use.last_ms, ready_since_ms_);
}

void Model::unload_if_idle() {
  const std::uint64_t limit_ms = std::uint64_t{config_.idle_unload_s} * 1000;
  const auto since_ms = unused_since_ms();
  const std::uint64_t unused_ms = since_ms ? services_.loop.now_ms() - *since_ms : 0;
  if (unused_ms < limit_ms) return idle_.start_once(limit_ms - unused_ms);
  spdlog::info("{}: not used for {} s", name(), config_.idle_unload_s);
  unload(UnloadReason::idle, {});
}

// --- The engine

void Model::on_engine_warning(std::string code, std::string message) {
  // A load that is being cancelled has nothing more to tell.
  if (state_ != ModelState::unloading && !starts_over_) warn(std::move(code), std::move(message));
}

void Model::on_engine_down(const engine::EngineDown& down) {
  if (transition(state_, Event::engine_down).action != Action::wait_for_engine) return;
  published_.unpublish();
  stop_watching();
  progress_.drop();
  if (state_ == ModelState::ready) load_began_ms_ = services_.loop.now_ms();
  restart_ = {.reason = down.reason, .attempt = down.attempt, .restarts_left = down.restarts_left};
  enter(Event::engine_down);
  publish(*restart_);
}

void Model::on_engine_failed(const Error& error) {
  break_down(transition(state_, Event::lost).action == Action::break_down ? Event::lost : Event::failed,
             error);
}

// --- The mapped files

void Model::watch_mapped_files() {
  for (const auto& copy : loaded_->copies) {
    auto watch = loop::FileWatch::start(services_.loop, fmt::format("/proc/self/fd/{}", copy->fd()),
                                        [this] { check_mapped_files(); });
    if (watch) {
      watches_.push_back(std::move(*watch));
    } else {
      spdlog::warn("{}: changes of {} will not be noticed: {}", name(), copy->path, watch.error().message);
    }
  }
}

void Model::stop_watching() {
  idle_.stop();
  watches_.clear();
  checking_.reset();
  has_to_check_again_ = false;
  has_told_change_ = false;
}

void Model::check_mapped_files() {
  if (state_ != ModelState::ready) return;
  if (checking_) {
    has_to_check_again_ = true;
    return;
  }
  checking_ = loop::offload<bool>(
      services_.loop,
      [copies = loaded_->copies, mappings = loaded_->mappings, stamps = loaded_->stamps](loop::CancelToken) {
        return are_unchanged(copies, mappings, stamps);
      },
      [this](const Result<bool>& outcome) {
        checking_.reset();
        mapped_files_checked(outcome);
      });
}

void Model::mapped_files_checked(const Result<bool>& are_unchanged) {
  if (!are_unchanged) return break_down(Event::lost, are_unchanged.error());
  if (!*are_unchanged && !std::exchange(has_told_change_, true)) {
    warn("file_changed",
         fmt::format("{} was written to while it is loaded: what is in memory may not be what was "
                     "verified; put the file back and load the model again",
                     loaded_->path));
  }
  if (std::exchange(has_to_check_again_, false)) check_mapped_files();
}

void Model::break_down(Event event, const Error& error) {
  published_.unpublish();
  stop_watching();
  progress_.end();
  remember_engine(loaded_->engine->status());
  // The memory is given back while the model is in error already; a load that comes meanwhile waits for it.
  release();
  failed(event, error);
}

// What it said and how it ended explain the error. Its process ends with it, and its number may be another's
// soon.
void Model::remember_engine(std::optional<answer::EngineStatus> engine) {
  last_engine_ = std::move(engine);
  if (last_engine_) last_engine_->pid.reset();
}

}  // namespace ggufd::model
