// Writes a small, sound GGUF of architecture llama, or a damaged one, or one that a real llama-server runs:
//   make_gguf OUT [--size-mb N] [--seed S] [--n-ctx N] [--tokenizer llama|gpt2] [--damage KIND]
//             [--runnable chat|embedding]
#include <CLI/CLI.hpp>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "tests/support/gguf_builder.h"
#include "tests/support/runnable_model.h"

namespace {

using ggufd::test::GgufBuilder;

// Each makes a sound file into one that must be refused.
const std::map<std::string, std::function<void(GgufBuilder&)>> damage_kinds = {
    {"magic", [](GgufBuilder& file) { file.magic("<htm"); }},
    {"version-1", [](GgufBuilder& file) { file.version(1); }},
    {"big-endian", [](GgufBuilder& file) { file.version(0x03000000); }},
    {"key-count", [](GgufBuilder& file) { file.claim_keys(UINT64_MAX); }},
    {"tensor-count", [](GgufBuilder& file) { file.claim_tensors(UINT64_MAX); }},
    {"duplicate-key", [](GgufBuilder& file) { file.add("general.name", "again"); }},
    {"string-length", [](GgufBuilder& file) { file.add_with_length("general.license", "MIT", UINT64_MAX); }},
    {"alignment", [](GgufBuilder& file) { file.add("general.alignment", std::uint32_t{0}); }},
    {"duplicate-tensor", [](GgufBuilder& file) { file.tensor("output_norm.weight", "f32", {32}); }},
    {"tensor-type", [](GgufBuilder& file) { file.raw_tensor("old.weight", 1, {32}, 4, file.data_bytes()); }},
    {"tensor-bounds",
     [](GgufBuilder& file) { file.raw_tensor("far.weight", 1, {64}, 0, file.data_bytes()); }},
    {"token-id", [](GgufBuilder& file) { file.add("tokenizer.ggml.eot_token_id", std::uint32_t{1} << 30); }},
};

struct Arguments {
  std::string out;
  std::string damage;
  std::string runnable;
  std::string tokenizer = "llama";
  std::uint64_t size_mb = 0;
  std::optional<std::uint32_t> n_ctx;
  std::uint64_t seed = 1;
};

std::string damage_names() {
  std::string names = "truncate";
  for (const auto& [name, change] : damage_kinds) names += ", " + name;
  return names;
}

void declare(CLI::App& app, Arguments& arguments) {
  app.add_option("OUT", arguments.out, "the file to write")->required();
  app.add_option("--size-mb", arguments.size_mb,
                 "about how many megabytes (10^6 bytes); as small as possible without");
  app.add_option("--seed", arguments.seed, "other bytes of the same shape");
  app.add_option("--n-ctx", arguments.n_ctx, "the model's context length");
  CLI::Option* tokenizer = app.add_option("--tokenizer", arguments.tokenizer, "llama or gpt2")
                               ->check(CLI::IsMember({"llama", "gpt2"}));
  app.add_option("--damage", arguments.damage, "one of " + damage_names());
  app.add_option("--runnable", arguments.runnable, "what a real llama-server runs: chat or embedding")
      ->check(CLI::IsMember({"chat", "embedding"}))
      ->excludes(tokenizer);
}

GgufBuilder sound_file(const Arguments& arguments) {
  if (arguments.runnable == "embedding") {
    ggufd::test::EmbeddingOptions options{.seed = arguments.seed};
    options.n_ctx = arguments.n_ctx.value_or(options.n_ctx);
    return ggufd::test::embedding_model(options);
  }
  ggufd::test::LlamaOptions options{.target_bytes = arguments.size_mb * 1000 * 1000, .seed = arguments.seed};
  options.n_ctx = arguments.n_ctx.value_or(options.n_ctx);
  options.gpt2_tokenizer = arguments.tokenizer == "gpt2";
  return arguments.runnable == "chat" ? ggufd::test::chat_model(options) : ggufd::test::llama_model(options);
}

// Why these arguments do not go together; empty where they do.
std::string conflict(const Arguments& arguments) {
  const std::string& damage = arguments.damage;
  if (!damage.empty() && damage != "truncate" && !damage_kinds.contains(damage)) {
    return "no damage is called " + damage + "; there are " + damage_names();
  }
  if (arguments.runnable == "embedding" && (arguments.size_mb != 0 || !damage.empty())) {
    return "--runnable embedding takes neither --size-mb nor --damage";
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Writes a small GGUF for tests");
  Arguments arguments;
  declare(app, arguments);
  CLI11_PARSE(app, argc, argv);
  if (const std::string reason = conflict(arguments); !reason.empty()) {
    std::fprintf(stderr, "make_gguf: %s\n", reason.c_str());
    return 64;
  }
  const std::string& out = arguments.out;
  GgufBuilder file = sound_file(arguments);
  if (const auto found = damage_kinds.find(arguments.damage); found != damage_kinds.end()) {
    found->second(file);
  }
  if (const auto written = file.write(out); !written) {
    std::fprintf(stderr, "make_gguf: %s\n", written.error().message.c_str());
    return 1;
  }
  if (arguments.damage != "truncate") return 0;
  std::error_code failed;
  std::filesystem::resize_file(out, std::filesystem::file_size(out, failed) / 2, failed);
  if (failed) std::fprintf(stderr, "make_gguf: cannot cut %s: %s\n", out.c_str(), failed.message().c_str());
  return failed ? 1 : 0;
}
