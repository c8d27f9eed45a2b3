// What one llama-server is to be started with, every time that it is.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "engine/llama_probe.h"

namespace ggufd::engine {

// The program that was found, and what it can do.
struct LlamaProgram {
  std::string path;  // absolute
  LlamaBuild build;
};

// The verified bytes.
struct LlamaFile {
  std::string path;                   // the real one; of the first shard
  bool is_split = false;              // found by their names: the others, too
  int descriptor = -1;                // of `path`
  std::shared_ptr<const void> owner;  // of the descriptor
};

enum class WarmUp : std::uint8_t { none, completion, embedding, rerank };

struct LlamaOrder {
  std::string model;  // its name
  LlamaProgram program;
  LlamaFile file;
  config::LlamaServerConfig settings;
  std::vector<std::string> arguments;
  std::vector<int> descriptors;  // the child's 3
  std::string socket_path;       // where it listens, or a relay for it; private
  std::string api_key;           // what it was told to ask for; empty: nothing
  bool is_embedding_model = false;
  std::uint32_t n_ctx = 0;  // as planned: holds where it does not tell its own
  WarmUp warm_up = WarmUp::completion;
  std::uint64_t warm_up_limit_ms = 0;  // load_timeout_s; a restart has no other end
};

// What was found out before: the model's file says the first two.
struct LlamaFacts {
  bool is_embedding_model = false;
  std::uint32_t n_ctx = 0;
  std::string api_key;  // api_key_of(llama_server.args)
};

// `runtime_folder` is where its private socket goes.
LlamaOrder llama_order(const config::ModelConfig& model, const config::Config& config, LlamaProgram program,
                       LlamaFile file, const LlamaFacts& facts, const std::string& runtime_folder);

}  // namespace ggufd::engine
