#include "config/llama_args.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/quote.h"

namespace ggufd::config {

namespace {

// A flag in all its spellings (llama.cpp's common/arg.cpp, and those of older builds) and what takes its
// place.
struct OwnedFlag {
  std::string_view flag;
  std::string_view instead;
};

constexpr std::string_view source = "models[].source names the file";
constexpr std::string_view socket =
    "ggufd chooses where llama-server listens and publishes it as infer.<model>.sock";
constexpr std::string_view mapping = "ggufd maps the file itself; models[].mlock locks it";
constexpr std::string_view plain_socket =
    "ggufd asks for llama-server's health over a private socket, in plain HTTP";
constexpr std::string_view exits = "llama-server would print and exit";

constexpr auto owned_flags = std::to_array<OwnedFlag>({
    {"-m", source},
    {"--model", source},
    {"-mu", source},
    {"--model-url", source},
    {"-dr", source},
    {"--docker-repo", source},
    {"-hf", source},
    {"-hfr", source},
    {"--hf-repo", source},
    {"-hff", source},
    {"--hf-file", source},
    {"-hft", "fetch.hf_token_file names the token's file"},
    {"--hf-token", "fetch.hf_token_file names the token's file"},
    {"--models-dir", "each model is one of models[]"},
    {"--models-preset", "each model is one of models[]"},
    {"--host", socket},
    {"--port", socket},
    {"--reuse-port", socket},
    {"--api-prefix", plain_socket},
    {"--ssl-key-file", plain_socket},
    {"--ssl-cert-file", plain_socket},
    {"-c", "set models[].n_ctx"},
    {"--ctx-size", "set models[].n_ctx"},
    {"-np", "set models[].n_seq"},
    {"--parallel", "set models[].n_seq"},
    {"-kvu", "set models[].kv_unified"},
    {"--kv-unified", "set models[].kv_unified"},
    {"-no-kvu", "set models[].kv_unified"},
    {"--no-kv-unified", "set models[].kv_unified"},
    {"-ctk", "set models[].kv_type_k"},
    {"--cache-type-k", "set models[].kv_type_k"},
    {"-ctv", "set models[].kv_type_v"},
    {"--cache-type-v", "set models[].kv_type_v"},
    {"-ub", "set models[].n_ubatch"},
    {"--ubatch-size", "set models[].n_ubatch"},
    {"--warmup", "set models[].warm_up"},
    {"--no-warmup", "set models[].warm_up"},
    {"-ngl", "set llama_server.gpu_layers"},
    {"--gpu-layers", "set llama_server.gpu_layers"},
    {"--n-gpu-layers", "set llama_server.gpu_layers"},
    {"-t", "set llama_server.threads"},
    {"--threads", "set llama_server.threads"},
    {"--mlock", mapping},
    {"--mmap", mapping},
    {"--no-mmap", mapping},
    {"-lm", mapping},
    {"--load-mode", mapping},
    {"-dio", mapping},
    {"--direct-io", mapping},
    {"-ndio", mapping},
    {"--no-direct-io", mapping},
    {"-h", exits},
    {"--help", exits},
    {"--usage", exits},
    {"--version", exits},
    {"--completion-bash", exits},
    {"--list-devices", exits},
    {"-cl", exits},
    {"--cache-list", exits},
});

// Flags that stand for a whole setting with a model of their own, which llama-server would fetch. All of
// their names begin and end alike.
constexpr auto model_presets = std::to_array<std::string_view>(
    {"--fim-qwen-", "--gpt-oss-", "--vision-gemma-", "--embd-", "--tts-oute-"});

bool is_model_preset(std::string_view flag) {
  const bool begins = std::ranges::any_of(model_presets, [&](auto start) { return flag.starts_with(start); });
  return begins && (flag.ends_with("-default") || flag.ends_with("-spec"));
}

std::string canonical(std::string_view argument) {
  std::string flag(argument.substr(0, argument.find('=')));
  if (flag.starts_with("--")) std::ranges::replace(flag, '_', '-');
  return flag;
}

}  // namespace

std::optional<std::string> check_llama_argument(std::string_view argument) {
  if (argument.find('\0') != std::string_view::npos) return "must not contain a NUL";
  if (!argument.starts_with('-')) return std::nullopt;
  const std::string flag = canonical(argument);
  if (is_model_preset(flag)) {
    return fmt::format("must not hold {}: it brings a model and settings of its own; {}", quote(argument),
                       source);
  }
  const auto* owned = std::ranges::find(owned_flags, std::string_view(flag), &OwnedFlag::flag);
  if (owned == owned_flags.end()) return std::nullopt;
  return fmt::format("must not hold {}: {}", quote(argument), owned->instead);
}

}  // namespace ggufd::config
