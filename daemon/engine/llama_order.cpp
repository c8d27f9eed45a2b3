#include "engine/llama_order.h"

#include <fmt/core.h>

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "engine/engine.h"
#include "engine/llama_command.h"

namespace ggufd::engine {
namespace {

constexpr int first_inherited = 3;

bool has_any(const std::vector<std::string>& arguments, std::initializer_list<std::string_view> flags) {
  return std::ranges::any_of(
      flags, [&](std::string_view flag) { return std::ranges::find(arguments, flag) != arguments.end(); });
}

WarmUp warm_up_of(const std::vector<std::string>& arguments, bool is_embedding_model) {
  if (has_any(arguments, {"--rerank", "--reranking"})) return WarmUp::rerank;
  if (is_embedding_model || has_any(arguments, {"--embedding", "--embeddings"})) return WarmUp::embedding;
  return WarmUp::completion;
}

}  // namespace

LlamaOrder llama_order(const config::ModelConfig& model, const config::Config& config, LlamaProgram program,
                       LlamaFile file, const LlamaFacts& facts, const std::string& runtime_folder) {
  LlamaOrder order{.model = model.name,
                   .program = std::move(program),
                   .file = std::move(file),
                   .settings = config.llama_server,
                   .socket_path = engine_socket_path(runtime_folder, model.name),
                   .is_embedding_model = facts.is_embedding_model,
                   .n_ctx = facts.n_ctx};
  // What was verified is what runs. The shards of a split model are found by their names only.
  LlamaPlace place{.model_path = order.file.path, .socket_path = {}};
  if (!order.file.is_split) {
    place.model_path = fmt::format("/proc/self/fd/{}", first_inherited);
    order.descriptors.push_back(order.file.descriptor);
  }
  if (order.program.build.has_unix_sockets) place.socket_path = order.socket_path;
  order.arguments = llama_arguments(model, config.llama_server, order.program.build, place);
  const auto& args = config.llama_server.args;
  // Without it builds since 2025 answer neither embeddings nor, for such a model, anything else.
  if (facts.is_embedding_model &&
      !has_any(args, {"--embedding", "--embeddings", "--rerank", "--reranking"})) {
    for (const char* flag : {"--embeddings", "--embedding"}) {
      if (!order.program.build.has(flag)) continue;
      order.arguments.insert(order.arguments.end() - static_cast<std::ptrdiff_t>(args.size()), flag);
      break;
    }
  }
  order.api_key = facts.api_key;
  order.warm_up = model.warm_up ? warm_up_of(args, facts.is_embedding_model) : WarmUp::none;
  order.warm_up_limit_ms = std::uint64_t{model.load_timeout_s} * 1000;
  return order;
}

}  // namespace ggufd::engine
