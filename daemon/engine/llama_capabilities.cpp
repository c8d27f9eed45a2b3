#include <algorithm>
#include <array>
#include <string_view>

#include "engine/llama_command.h"
#include "engine/llama_facts.h"

namespace ggufd::engine {
namespace {

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Takes what is between "{{" or "{%" and its end from `text`; nothing where there is no more.
std::optional<std::string_view> next_jinja_code(std::string_view& text) {
  for (std::size_t begin = text.find('{'); begin != std::string_view::npos;
       begin = text.find('{', begin + 1)) {
    const std::string_view opening = text.substr(begin, 2);
    if (opening != "{{" && opening != "{%") continue;
    text.remove_prefix(begin + 2);
    const std::size_t end = text.find(opening == "{{" ? "}}" : "%}");
    const std::string_view code = text.substr(0, end);
    text.remove_prefix(code.size());
    return code;
  }
  return std::nullopt;
}

// Whether Jinja code has `name` as a variable: not within a string, a longer name or an attribute.
bool names_variable(std::string_view code, std::string_view name) {
  char quote = '\0';
  for (std::size_t i = 0; i < code.size(); ++i) {
    const char c = code[i];
    if (quote != '\0') {
      if (c == '\\') ++i;
      if (c == quote) quote = '\0';
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (is_name_character(c)) {
      const std::size_t begin = i;
      while (i < code.size() && is_name_character(code[i])) ++i;
      const bool is_attribute = begin > 0 && code[begin - 1] == '.';
      if (!is_attribute && code.substr(begin, i - begin) == name) return true;
      --i;
    }
  }
  return false;
}

bool template_names_tools(std::string_view chat_template) {
  while (const auto code = next_jinja_code(chat_template)) {
    if (names_variable(*code, "tools")) return true;
  }
  return false;
}

bool template_marks_reasoning(std::string_view chat_template) {
  constexpr auto marks = std::to_array<std::string_view>(
      {"<think>", "</think>", "[THINK]", "enable_thinking", "reasoning_content", "reasoning_effort"});
  return std::ranges::any_of(marks, [&](std::string_view mark) { return chat_template.contains(mark); });
}

void tell_accelerator(const LlamaSaid& said, const config::LlamaServerConfig& server,
                      status::Capabilities& capabilities) {
  // Where its log does not tell of layers, those that it was told to put there count.
  const std::uint32_t layers = said.offloaded_layers.value_or(said.accelerator ? server.gpu_layers : 0);
  if (layers == 0 || !said.accelerator) return;
  capabilities.accelerator = *said.accelerator;
  capabilities.gpu_layers = layers;
  capabilities.device_name = said.device_name;
  capabilities.vram_total_bytes = said.vram_total_bytes;
}

}  // namespace

status::Capabilities llama_capabilities(const LlamaProps& props, const LlamaSaid& said,
                                        const config::LlamaServerConfig& server, bool is_embedding_model) {
  const bool is_for_embeddings = has_argument(server.args, {"--embedding", "--embeddings"});
  const auto pooling = argument_value(server.args, {"--pooling"});
  const bool ranks =
      has_argument(server.args, {"--rerank", "--reranking"}) || (is_for_embeddings && pooling == "rank");
  const bool has_jinja = !has_argument(server.args, {"--no-jinja"});

  status::Capabilities capabilities;
  capabilities.backend = Backend::llama_server;
  capabilities.n_ctx = props.n_ctx;
  capabilities.vision = props.vision;
  capabilities.audio = props.audio;
  capabilities.rerank = ranks;
  capabilities.embed = !ranks && (is_embedding_model || is_for_embeddings || pooling);
  capabilities.generate = !ranks && !is_embedding_model && !is_for_embeddings;
  if (capabilities.generate && has_jinja) {
    capabilities.tools = props.tools.value_or(template_names_tools(props.chat_template));
    capabilities.thinking =
        said.thinks.value_or(props.thinking.value_or(false) || template_marks_reasoning(props.chat_template));
  }
  tell_accelerator(said, server, capabilities);
  return capabilities;
}

}  // namespace ggufd::engine
