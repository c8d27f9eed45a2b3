// The engine without inference: the model is mapped, in memory, its KV cache allocated, all of it by this
// process. Its socket tells each connection what this engine offers, in one JSON line, and closes it.
#pragma once

#include <memory>
#include <string>

#include "engine/engine.h"
#include "loop/loop.h"
#include "protocol/error.h"
#include "protocol/fields.h"

namespace ggufd::engine {

// The line that a connection gets.
struct ResidentOffer {
  std::string engine = "resident";
  bool generate = false;
  std::string model;
  std::string architecture;
  std::uint32_t n_ctx = 0;
  std::uint64_t mapped_bytes = 0;
  std::uint64_t kv_bytes = 0;
  std::string message;

  static void fields(auto& self, auto&& f) {
    f("engine", self.engine, "resident");
    f("generate", self.generate, "false: nothing is inferred here");
    f("model", self.model, "the model's name");
    f("architecture", self.architecture, "general.architecture of its file");
    f("n_ctx", self.n_ctx, "context length in tokens");
    f("mapped_bytes", self.mapped_bytes, "bytes of the model in memory");
    f("kv_bytes", self.kv_bytes, "bytes of its KV cache");
    f("message", self.message, "the same as a sentence");
  }
};

// Listens on `socket_path`, which must be free.
Result<std::unique_ptr<Engine>> start_resident(loop::Loop& loop, const std::string& socket_path,
                                               ResidentOffer offer);

}  // namespace ggufd::engine
