// The engine's part of a bring-up: which one it is, and its start.
#include <fmt/core.h>

#include <memory>
#include <utility>

#include "engine/llama_server.h"
#include "engine/resident.h"
#include "model/bring_up.h"
#include "model/bring_up_pool.h"

namespace ggufd::model {

// --- Which one

// Before anything is fetched: an engine that is missing is no news for hours later.
void BringUp::choose_engine() {
  if (std::exchange(has_chosen_engine_, true)) return advance();
  if (model_.engine == config::EngineChoice::resident) return advance();
  begin(loop::offload<std::string>(
      services_.loop,
      [binary = services_.config.llama_server.binary, path_variable = services_.llama.path_variable](
          loop::CancelToken) { return engine::find_llama_server(binary, path_variable); },
      [this](Result<std::string> path) {
        operation_.reset();
        if (!path) return no_engine(std::move(path.error()));
        probe_engine(*path);
      }));
}

void BringUp::probe_engine(const std::string& path) {
  begin(services_.llama.probe.probe(path, [this, path](Result<engine::LlamaBuild> build) {
    // The operation is calling: it is destroyed when the turn ends, not under its own feet.
    services_.loop.at_end_of_turn([ended = std::move(operation_)] {});
    if (!build) return no_engine(std::move(build.error()));
    program_ = engine::LlamaProgram{path, std::move(*build)};
    if (!program_->build.has_unix_sockets) {
      callbacks_.on_warning(
          "engine_relayed",
          fmt::format(
              "{} ({}) knows no Unix sockets: its bytes pass through ggufd; a build of March 2025 or later "
              "serves infer.sock itself",
              path, program_->build.version));
    }
    advance();
  }));
}

void BringUp::no_engine(Error error) {
  if (is_cancelled_ || model_.engine == config::EngineChoice::llama_server) return stop(std::move(error));
  callbacks_.on_warning(
      "engine_resident",
      fmt::format(
          "the model will be in memory and nothing is inferred, for {}; engine resident says so without this "
          "warning",
          error.message));
  advance();
}

// --- Its start

void BringUp::start_engine() {
  if (program_) return start_llama_server();
  start_resident();
}

void BringUp::start_resident() {
  auto engine = engine::start_resident(services_.loop,
                                       engine::engine_socket_path(services_.runtime_folder, model_.name),
                                       {.model = model_.name,
                                        .architecture = loaded_.planner->architecture(),
                                        .n_ctx = static_cast<std::uint32_t>(plan_.n_ctx),
                                        .mapped_bytes = loaded_.mapped_bytes(),
                                        .kv_bytes = loaded_.kv_bytes()});
  if (!engine) return stop(std::move(engine.error()));
  loaded_.engine = std::move(*engine);
  advance();
}

// The step goes on until it is up, or is given up.
void BringUp::start_llama_server() {
  engine::LlamaFile file{.path = loaded_.path,
                         .is_split = is_split(),
                         .descriptor = copies_.front()->fd(),
                         .owner = copies_.front()};
  loaded_.engine = engine::start_llama_server(
      services_.llama,
      engine::llama_order(
          model_, services_.config, *program_, std::move(file),
          {.is_embedding_model = is_embedding_model_, .n_ctx = static_cast<std::uint32_t>(plan_.n_ctx)},
          services_.runtime_folder),
      *this);
}

void BringUp::on_engine_phase(LoadPhase phase) {
  callbacks_.on_phase(std::move(phase));
}

void BringUp::on_engine_warning(std::string code, std::string message) {
  callbacks_.on_warning(std::move(code), std::move(message));
}

void BringUp::on_engine_up() {
  loaded_.promise->taken(memory::need_of(plan_).anonymous_bytes());
  advance();
}

void BringUp::on_engine_down(const engine::EngineDown& down) {
  callbacks_.on_engine_down(down);
}

void BringUp::on_engine_failed(const Error& error) {
  stop(error);
}

const std::optional<answer::EngineStatus>& BringUp::engine_status() {
  if (loaded_.engine) engine_status_ = loaded_.engine->status();
  return engine_status_;
}

}  // namespace ggufd::model
