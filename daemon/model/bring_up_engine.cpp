// The engine's part of a bring-up: which one it is, and its start.
#include <fmt/core.h>

#include <memory>
#include <utility>

#include "engine/api_key.h"
#include "engine/llama_program.h"
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
  begin(engine::find_llama_program(services_.llama, services_.config.llama_server.binary,
                                   [this](Result<engine::LlamaProgram> program) {
                                     operation_.reset();
                                     if (!program) return no_engine(std::move(program.error()));
                                     found_engine(std::move(*program));
                                   }));
}

void BringUp::found_engine(engine::LlamaProgram program) {
  program_ = std::move(program);
  if (!program_->build.has_unix_sockets) {
    callbacks_.on_warning(
        "engine_relayed",
        fmt::format(
            "{} ({}) knows no Unix sockets: its bytes pass through ggufd; a build of March 2025 or later "
            "serves infer.sock itself",
            program_->path, program_->build.version));
  }
  advance();
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
  if (!program_) return start_resident();
  on_pool<std::string>([args = services_.config.llama_server.args] { return engine::api_key_of(args); },
                       [this](const std::string& api_key) { start_llama_server(api_key); });
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
void BringUp::start_llama_server(const std::string& api_key) {
  engine::LlamaFile file{.path = loaded_.path,
                         .is_split = is_split(),
                         .descriptor = copies_.front()->fd(),
                         .owner = copies_.front()};
  loaded_.engine =
      engine::start_llama_server(services_.llama,
                                 engine::llama_order(model_, services_.config, *program_, std::move(file),
                                                     {.is_embedding_model = is_embedding_model_,
                                                      .n_ctx = static_cast<std::uint32_t>(plan_.n_ctx),
                                                      .api_key = api_key},
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
