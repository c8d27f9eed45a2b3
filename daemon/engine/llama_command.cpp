#include "engine/llama_command.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace ggufd::engine {
namespace {

using Spellings = std::initializer_list<std::string_view>;

// llama-server computes no more tokens at once than it takes in one batch.
constexpr std::uint32_t batch_tokens_default = 2048;

// Arguments of flags that the build knows.
class ArgumentList {
 public:
  ArgumentList(const LlamaBuild& build, const std::vector<std::string>& user) : build_(build), user_(user) {}

  // In the first spelling that the build knows; left out where it knows none.
  void set(Spellings spellings, std::string value) {
    if (set(spellings)) arguments_.push_back(std::move(value));
  }
  bool set(Spellings spellings) {
    const auto* known = std::ranges::find_if(spellings, [this](auto name) { return build_.has(name); });
    if (known == spellings.end()) return false;
    arguments_.emplace_back(*known);
    return true;
  }
  bool user_has(Spellings spellings) const { return has_argument(user_, spellings); }

  std::vector<std::string> finish() && {
    arguments_.insert(arguments_.end(), user_.begin(), user_.end());
    return std::move(arguments_);
  }

 private:
  const LlamaBuild& build_;
  const std::vector<std::string>& user_;
  std::vector<std::string> arguments_;
};

bool is_quantized(config::CacheType type) {
  using enum config::CacheType;
  return type != f32 && type != f16 && type != bf16;
}

void add_place(ArgumentList& arguments, const LlamaPlace& place) {
  arguments.set({"--model"}, place.model_path);
  arguments.set({"--host"}, place.socket_path.empty() ? "127.0.0.1" : place.socket_path);
  if (place.socket_path.empty()) arguments.set({"--port"}, "0");
}

void add_cache(ArgumentList& arguments, const config::ModelConfig& model, const LlamaBuild& build) {
  // Every build's default is f16.
  if (model.kv_type_k != config::CacheType::f16)
    arguments.set({"--cache-type-k", "-ctk"}, std::string(name_of(model.kv_type_k)));
  if (model.kv_type_v != config::CacheType::f16)
    arguments.set({"--cache-type-v", "-ctv"}, std::string(name_of(model.kv_type_v)));
  // A quantized V cache needs flash attention. Builds where it takes a value choose it themselves.
  const bool needs_switch = is_quantized(model.kv_type_v) && build.flash_attention_is_switch;
  if (needs_switch && !arguments.user_has({"-fa", "--flash-attn"})) arguments.set({"--flash-attn", "-fa"});
}

void add_context(ArgumentList& arguments, const config::ModelConfig& model, const LlamaBuild& build) {
  arguments.set({"--ctx-size", "-c"}, std::to_string(model.n_ctx));
  arguments.set({"--parallel", "-np"}, std::to_string(model.n_seq));
  if (model.kv_unified) {
    arguments.set({"--kv-unified", "-kvu"});
  } else {
    arguments.set({"--no-kv-unified", "-no-kvu"});
  }
  arguments.set({"--ubatch-size", "-ub"}, std::to_string(model.n_ubatch));
  if (model.n_ubatch > batch_tokens_default && !arguments.user_has({"-b", "--batch-size"}))
    arguments.set({"--batch-size", "-b"}, std::to_string(model.n_ubatch));
  add_cache(arguments, model, build);
}

void add_machine(ArgumentList& arguments, const config::LlamaServerConfig& server) {
  // Always, since newer builds put on a graphics card what fits there unless they are told.
  arguments.set({"--gpu-layers", "--n-gpu-layers", "-ngl"}, std::to_string(server.gpu_layers));
  if (server.threads != 0) arguments.set({"--threads", "-t"}, std::to_string(server.threads));
}

// What nobody has configured and the user's own arguments may.
void add_ours(ArgumentList& arguments, const config::ModelConfig& model, const LlamaBuild& build) {
  if (!arguments.user_has({"-a", "--alias"})) arguments.set({"--alias", "-a"}, model.name);
  if (!arguments.user_has({"--slots", "--no-slots"})) arguments.set({"--slots"});
  // A cache of prompts of 8 GiB by default, which no memory plan knows of.
  if (!arguments.user_has({"-cram", "--cache-ram"})) arguments.set({"--cache-ram", "-cram"}, "0");
  // It would change what has been planned by a look at another measure of memory.
  if (!arguments.user_has({"-fit", "--fit"})) arguments.set({"--fit", "-fit"}, "off");
  const bool user_chooses = arguments.user_has(
      {"-lv", "--verbosity", "--log-verbosity", "-v", "--verbose", "--log-verbose", "--log-disable"});
  if (build.library_log_verbosity && !user_chooses) {
    arguments.set({"--verbosity", "--log-verbosity", "-lv"}, std::to_string(*build.library_log_verbosity));
  }
}

// As llama.cpp reads it.
std::string canonical_flag(std::string flag) {
  if (flag.starts_with("--")) std::ranges::replace(flag, '_', '-');
  return flag;
}

}  // namespace

std::vector<std::string> llama_arguments(const config::ModelConfig& model,
                                         const config::LlamaServerConfig& server, const LlamaBuild& build,
                                         const LlamaPlace& place) {
  ArgumentList arguments(build, server.args);
  add_place(arguments, place);
  add_context(arguments, model, build);
  add_machine(arguments, server);
  if (!model.warm_up) arguments.set({"--no-warmup"});
  add_ours(arguments, model, build);
  return std::move(arguments).finish();
}

bool has_argument(const std::vector<std::string>& arguments, Spellings spellings) {
  return std::ranges::any_of(arguments, [&](const std::string& argument) {
    return std::ranges::find(spellings, canonical_flag(argument)) != spellings.end();
  });
}

std::optional<std::string_view> argument_value(const std::vector<std::string>& arguments,
                                               Spellings spellings) {
  std::optional<std::string_view> value;
  for (std::size_t i = 0; i + 1 < arguments.size(); ++i) {
    if (std::ranges::find(spellings, canonical_flag(arguments[i])) != spellings.end())
      value = arguments[i + 1];
  }
  return value;
}

}  // namespace ggufd::engine
