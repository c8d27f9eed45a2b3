// Writes a small, sound GGUF of architecture llama, or a damaged one:
//   make_gguf OUT [--size-mb N] [--seed S] [--n-ctx N] [--tokenizer llama|gpt2] [--damage KIND]
#include <CLI/CLI.hpp>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "tests/support/gguf_builder.h"

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

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Writes a small GGUF for tests");
  std::string out;
  std::string damage;
  std::string tokenizer = "llama";
  std::uint64_t size_mb = 0;
  ggufd::test::LlamaOptions options;
  std::string damages = "truncate";
  for (const auto& [name, change] : damage_kinds) damages += ", " + name;
  app.add_option("OUT", out, "the file to write")->required();
  app.add_option("--size-mb", size_mb, "about how many megabytes (10^6 bytes); as small as possible without");
  app.add_option("--seed", options.seed, "other bytes of the same shape");
  app.add_option("--n-ctx", options.n_ctx, "the model's context length");
  app.add_option("--tokenizer", tokenizer, "llama or gpt2")->check(CLI::IsMember({"llama", "gpt2"}));
  app.add_option("--damage", damage, "one of " + damages);
  CLI11_PARSE(app, argc, argv);
  if (!damage.empty() && damage != "truncate" && !damage_kinds.contains(damage)) {
    std::fprintf(stderr, "make_gguf: no damage is called %s; there are %s\n", damage.c_str(),
                 damages.c_str());
    return 64;
  }

  options.target_bytes = size_mb * 1000 * 1000;
  options.gpt2_tokenizer = tokenizer == "gpt2";
  GgufBuilder file = ggufd::test::llama_model(options);
  if (const auto found = damage_kinds.find(damage); found != damage_kinds.end()) found->second(file);
  if (const auto written = file.write(out); !written) {
    std::fprintf(stderr, "make_gguf: %s\n", written.error().message.c_str());
    return 1;
  }
  if (damage != "truncate") return 0;
  std::error_code failed;
  std::filesystem::resize_file(out, std::filesystem::file_size(out, failed) / 2, failed);
  if (failed) std::fprintf(stderr, "make_gguf: cannot cut %s: %s\n", out.c_str(), failed.message().c_str());
  return failed ? 1 : 0;
}
