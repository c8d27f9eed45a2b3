#include "engine/llama_command.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ggufd::engine {
namespace {

using Words = std::vector<std::string>;

// Flags of February 2025 and of July 2026, those that are set here.
LlamaBuild old_build() {
  LlamaBuild build{.version = "4753 (c392e509)", .number = 4753, .has_unix_sockets = false};
  build.flash_attention_is_switch = true;
  build.flags = {"-m",
                 "--model",
                 "--host",
                 "--port",
                 "-c",
                 "-np",
                 "--ctx-size",
                 "--parallel",
                 "-ub",
                 "--ubatch-size",
                 "-b",
                 "--batch-size",
                 "-ctk",
                 "--cache-type-k",
                 "-ctv",
                 "-ngl",
                 "--cache-type-v",
                 "--gpu-layers",
                 "--n-gpu-layers",
                 "-t",
                 "-fa",
                 "--threads",
                 "--flash-attn",
                 "--no-warmup",
                 "-a",
                 "-lv",
                 "--alias",
                 "--slots",
                 "--verbosity",
                 "--log-verbosity"};
  return build;
}
LlamaBuild new_build() {
  LlamaBuild build = old_build();
  build.number = 9963;
  build.has_unix_sockets = true;
  build.flash_attention_is_switch = false;
  build.library_log_verbosity = 4;
  build.flags.insert({"-kvu", "--kv-unified", "-no-kvu", "--no-kv-unified", "--no-slots", "-cram",
                      "--cache-ram", "-fit", "--fit", "--warmup"});
  return build;
}

config::ModelConfig chat_model() {
  config::ModelConfig model;
  model.name = "qwen3-4b";
  return model;
}

const LlamaPlace on_socket{.model_path = "/proc/self/fd/3", .socket_path = "/run/ggufd/engine.qwen3-4b.sock"};
const LlamaPlace on_port{.model_path = "/models/a-00001-of-00002.gguf", .socket_path = ""};

bool holds(const Words& arguments, std::string_view flag) {
  return std::ranges::find(arguments, flag) != arguments.end();
}
std::string after(const Words& arguments, std::string_view flag) {
  return std::string(argument_value(arguments, {flag}).value_or("(not set)"));
}

TEST_CASE("the defaults, for a build of 2026 on a Unix socket") {
  CHECK(llama_arguments(chat_model(), {}, new_build(), on_socket) == Words{"--model",
                                                                           "/proc/self/fd/3",
                                                                           "--host",
                                                                           "/run/ggufd/engine.qwen3-4b.sock",
                                                                           "--ctx-size",
                                                                           "8192",
                                                                           "--parallel",
                                                                           "1",
                                                                           "--kv-unified",
                                                                           "--ubatch-size",
                                                                           "512",
                                                                           "--gpu-layers",
                                                                           "0",
                                                                           "--alias",
                                                                           "qwen3-4b",
                                                                           "--slots",
                                                                           "--cache-ram",
                                                                           "0",
                                                                           "--fit",
                                                                           "off",
                                                                           "--verbosity",
                                                                           "4"});
}

TEST_CASE("the defaults, for a build of February 2025 on a port of its choice") {
  CHECK(llama_arguments(chat_model(), {}, old_build(), on_port) ==
        Words{"--model", "/models/a-00001-of-00002.gguf", "--host", "127.0.0.1", "--port", "0", "--ctx-size",
              "8192", "--parallel", "1", "--ubatch-size", "512", "--gpu-layers", "0", "--alias", "qwen3-4b",
              "--slots"});
}

TEST_CASE("every key of the configuration arrives, and the user's arguments come last") {
  config::ModelConfig model = chat_model();
  model.n_ctx = 0;
  model.n_seq = 4;
  model.kv_unified = false;
  model.kv_type_k = config::CacheType::q8_0;
  model.kv_type_v = config::CacheType::q4_0;
  model.n_ubatch = 4096;
  model.warm_up = false;
  config::LlamaServerConfig server;
  server.gpu_layers = 99;
  server.threads = 6;
  server.args = {"--jinja", "--temp", "0.2"};
  const Words arguments = llama_arguments(model, server, new_build(), on_socket);
  CHECK(after(arguments, "--ctx-size") == "0");
  CHECK(after(arguments, "--parallel") == "4");
  CHECK(holds(arguments, "--no-kv-unified"));
  CHECK_FALSE(holds(arguments, "--kv-unified"));
  CHECK(after(arguments, "--cache-type-k") == "q8_0");
  CHECK(after(arguments, "--cache-type-v") == "q4_0");
  CHECK(after(arguments, "--ubatch-size") == "4096");
  CHECK(after(arguments, "--batch-size") == "4096");  // llama-server's default would be the limit
  CHECK(after(arguments, "--gpu-layers") == "99");
  CHECK(after(arguments, "--threads") == "6");
  CHECK(holds(arguments, "--no-warmup"));
  CHECK(Words(arguments.end() - 3, arguments.end()) == server.args);
}

TEST_CASE("a quantized V cache gets flash attention where that is off by default") {
  config::ModelConfig model = chat_model();
  model.kv_type_k = config::CacheType::q8_0;
  CHECK_FALSE(holds(llama_arguments(model, {}, old_build(), on_port), "--flash-attn"));
  model.kv_type_v = config::CacheType::bf16;
  CHECK_FALSE(holds(llama_arguments(model, {}, old_build(), on_port), "--flash-attn"));
  model.kv_type_v = config::CacheType::iq4_nl;
  CHECK(holds(llama_arguments(model, {}, old_build(), on_port), "--flash-attn"));
  CHECK_FALSE(holds(llama_arguments(model, {}, new_build(), on_socket), "--flash-attn"));
  config::LlamaServerConfig server;
  server.args = {"-fa"};
  CHECK_FALSE(holds(llama_arguments(model, server, old_build(), on_port), "--flash-attn"));
}

TEST_CASE("what the user's arguments settle is left to them, in any spelling") {
  struct Case {
    Words args;
    std::string_view ours;
  };
  for (const Case& given : {Case{{"--no-slots"}, "--slots"}, Case{{"--cache_ram", "2048"}, "--cache-ram"},
                            Case{{"-cram", "-1"}, "--cache-ram"}, Case{{"-a", "other"}, "--alias"},
                            Case{{"-v"}, "--verbosity"}, Case{{"--log-verbosity", "1"}, "--verbosity"},
                            Case{{"-fit", "on"}, "--fit"}, Case{{"--log-disable"}, "--verbosity"}}) {
    CAPTURE(given.ours);
    config::LlamaServerConfig server;
    CHECK(holds(llama_arguments(chat_model(), server, new_build(), on_socket), given.ours));
    server.args = given.args;
    CHECK_FALSE(holds(llama_arguments(chat_model(), server, new_build(), on_socket), given.ours));
  }
  config::LlamaServerConfig server;
  server.args = {"-b", "1024"};
  config::ModelConfig model = chat_model();
  model.n_ubatch = 4096;
  CHECK_FALSE(holds(llama_arguments(model, server, new_build(), on_socket), "--batch-size"));
}

TEST_CASE("no flag is used that the build does not know, and the spelling is one that it knows") {
  for (const LlamaBuild& whole : {old_build(), new_build()}) {
    LlamaBuild build = whole;
    for (const std::string& missing : whole.flags) {
      CAPTURE(missing);
      build.flags = whole.flags;
      build.flags.erase(missing);
      config::ModelConfig model = chat_model();
      model.warm_up = false;
      model.n_ubatch = 4096;
      model.kv_type_k = model.kv_type_v = config::CacheType::q8_0;
      const Words arguments = llama_arguments(model, {}, build, on_socket);
      CHECK_FALSE(holds(arguments, missing));
      for (const std::string& argument : arguments) {
        if (argument.starts_with('-')) CHECK(build.has(argument));
      }
    }
  }
  LlamaBuild build;
  build.flags = {"-c", "-ngl"};
  CHECK(llama_arguments(chat_model(), {}, build, on_port) == Words{"-c", "8192", "-ngl", "0"});
}

TEST_CASE("arguments are found as llama.cpp reads them") {
  const Words arguments{"--cache_ram", "1", "-x_y", "--pooling", "rank", "--pooling"};
  CHECK(has_argument(arguments, {"--cache-ram"}));
  CHECK_FALSE(has_argument(arguments, {"-x-y", "--cache"}));
  CHECK(argument_value(arguments, {"--pooling"}) == "rank");  // nothing follows the last one
  CHECK(argument_value(arguments, {"-cram", "--cache-ram"}) == "1");
  CHECK_FALSE(argument_value(arguments, {"--alias"}).has_value());
  CHECK(argument_value({"-a", "one", "-a", "two"}, {"-a"}) == "two");
}

}  // namespace
}  // namespace ggufd::engine
