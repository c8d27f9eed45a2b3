#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "engine/llama_facts.h"

namespace ggufd::engine {
namespace {

config::LlamaServerConfig with_args(std::vector<std::string> args) {
  config::LlamaServerConfig server;
  server.args = std::move(args);
  return server;
}

LlamaProps with_template(std::string_view text) {
  LlamaProps props;
  props.n_ctx = 4096;
  props.chat_template = text;
  return props;
}

status::Capabilities of_template(std::string_view text) {
  return llama_capabilities(with_template(text), {}, {}, false);
}

TEST_CASE("a plain model generates text on the processor") {
  status::Capabilities expected;
  expected.backend = Backend::llama_server;
  expected.wire_version = 1;
  expected.n_ctx = 4096;
  expected.generate = true;
  CHECK(of_template("{% for message in messages %}{{ message.content }}{% endfor %}") == expected);
}

TEST_CASE("vision and audio are what /props says") {
  LlamaProps props;
  props.vision = props.audio = true;
  const auto capabilities = llama_capabilities(props, {}, {}, false);
  CHECK(capabilities.vision);
  CHECK(capabilities.audio);
}

TEST_CASE("embeddings, ranking, text: by the model and the arguments") {
  struct Case {
    std::vector<std::string> args;
    bool is_embedding_model;
    bool embeds, ranks, generates;
  };
  for (const Case& given :
       {Case{{}, false, false, false, true}, Case{{}, true, true, false, false},
        Case{{"--embedding"}, false, true, false, false}, Case{{"--embeddings"}, true, true, false, false},
        Case{{"--pooling", "mean"}, false, true, false, true}, Case{{"--rerank"}, false, false, true, false},
        Case{{"--reranking"}, true, false, true, false},
        Case{{"--embedding", "--pooling", "rank"}, true, false, true, false},
        Case{{"--pooling", "rank"}, false, true, false, true}}) {
    CAPTURE(given.args.size());
    const auto capabilities = llama_capabilities({}, {}, with_args(given.args), given.is_embedding_model);
    CHECK(capabilities.embed == given.embeds);
    CHECK(capabilities.rerank == given.ranks);
    CHECK(capabilities.generate == given.generates);
  }
}

TEST_CASE("tools: what /props says, else a variable of the template") {
  LlamaProps props = with_template("{% if tools %}{{ tools }}{% endif %}");
  CHECK(llama_capabilities(props, {}, {}, false).tools);
  props.tools = false;
  CHECK_FALSE(llama_capabilities(props, {}, {}, false).tools);
  props = with_template("");
  props.tools = true;
  CHECK(llama_capabilities(props, {}, {}, false).tools);
  CHECK_FALSE(llama_capabilities(props, {}, with_args({"--no-jinja"}), false).tools);
  CHECK_FALSE(llama_capabilities(props, {}, with_args({"--embeddings"}), false).tools);
}

TEST_CASE("a variable of the template is told from text, strings, attributes and longer names") {
  for (const std::string_view text :
       {"{%- if tools is not none %}", "{{tools}}", "x {{ 'it\\'s' ~ tools|tojson }}",
        "{ {{ x }} {% set y=tools %}", "{%- for tool in tools -%}", "{% if not tools",
        "{{ \"}\" }}{{ tools }}"}) {
    CAPTURE(text);
    CHECK(of_template(text).tools);
  }
  for (const std::string_view text :
       {"", "tools", "You have no tools. {{ messages }}", "{{ 'tools' }}", "{{ \"tools\" }}",
        "{{ message.tools }}", "{{ builtin_tools }}", "{{ tools_in_user_message }}", "{ tools }",
        "{# tools #}", "{{ tool }} tools {% x %}", "{", "{{", "{%", "{{ 'tools", "{{ '\\"}) {
    CAPTURE(text);
    CHECK_FALSE(of_template(text).tools);
  }
}

TEST_CASE("thinking: what the log says, else /props, else a mark in the template") {
  CHECK(of_template("{% if enable_thinking is false %}").thinking);
  CHECK(of_template("{{ content.split('</think>')[-1] }}").thinking);
  CHECK(of_template("Reasoning: {{ reasoning_effort }}").thinking);
  CHECK_FALSE(of_template("I think, {{ therefore }}").thinking);
  LlamaProps props = with_template("{{ '<think>' }}");
  props.thinking = false;  // of earlier reasoning only
  CHECK(llama_capabilities(props, {}, {}, false).thinking);
  props.chat_template.clear();
  CHECK_FALSE(llama_capabilities(props, {}, {}, false).thinking);
  props.thinking = true;
  CHECK(llama_capabilities(props, {}, {}, false).thinking);
  LlamaSaid said;
  said.thinks = false;
  CHECK_FALSE(llama_capabilities(props, said, {}, false).thinking);
  said.thinks = true;
  CHECK(llama_capabilities({}, said, {}, false).thinking);
  CHECK_FALSE(llama_capabilities({}, said, with_args({"--no-jinja"}), false).thinking);
  CHECK_FALSE(llama_capabilities({}, said, {}, true).thinking);
}

TEST_CASE("the accelerator is the card that layers are on") {
  LlamaSaid said;
  said.accelerator = Accelerator::cuda;
  said.device_name = "NVIDIA L4";
  said.vram_total_bytes = 1 << 30;
  said.layers = 29;
  said.offloaded_layers = 12;
  config::LlamaServerConfig server;
  server.gpu_layers = 99;
  const auto on_card = llama_capabilities({}, said, server, false);
  CHECK(on_card.accelerator == Accelerator::cuda);
  CHECK(on_card.gpu_layers == 12);
  CHECK(on_card.device_name == "NVIDIA L4");
  CHECK(on_card.vram_total_bytes == 1 << 30);
  said.offloaded_layers = 0;
  const auto unused = llama_capabilities({}, said, server, false);
  CHECK(unused.accelerator == Accelerator::cpu);
  CHECK(unused.gpu_layers == 0);
  CHECK_FALSE(unused.device_name.has_value());
  CHECK_FALSE(unused.vram_total_bytes.has_value());
}

TEST_CASE("where the log tells of no layers, those count that were asked for, if there is a card") {
  LlamaSaid said;
  config::LlamaServerConfig server;
  server.gpu_layers = 20;
  CHECK(llama_capabilities({}, said, server, false).gpu_layers == 0);
  said.accelerator = Accelerator::vulkan;
  CHECK(llama_capabilities({}, said, server, false).gpu_layers == 20);
  CHECK(llama_capabilities({}, said, server, false).accelerator == Accelerator::vulkan);
  CHECK(llama_capabilities({}, said, {}, false).accelerator == Accelerator::cpu);
  // Layers on something that the wire has no word for.
  said.accelerator.reset();
  said.offloaded_layers = 20;
  CHECK(llama_capabilities({}, said, server, false).accelerator == Accelerator::cpu);
  CHECK(llama_capabilities({}, said, server, false).gpu_layers == 0);
}

}  // namespace
}  // namespace ggufd::engine
