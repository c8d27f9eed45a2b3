#include "engine/llama_facts.h"

#include <fmt/core.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <limits>

#include "engine/llama_command.h"

namespace ggufd::engine {
namespace {

using simdjson::SUCCESS;

// Its health is 15 bytes; what is much longer is something else.
constexpr std::size_t health_bytes_max = 4096;

std::uint32_t number_at(simdjson::dom::object object, std::string_view key) {
  std::uint64_t number = 0;
  if (object.at_key(key).get(number) != SUCCESS) return 0;
  return number <= std::numeric_limits<std::uint32_t>::max() ? static_cast<std::uint32_t>(number) : 0;
}

std::optional<bool> flag_at(simdjson::dom::object object, std::string_view key) {
  bool flag = false;
  if (object.at_key(key).get(flag) != SUCCESS) return std::nullopt;
  return flag;
}

std::string_view text_at(simdjson::dom::object object, std::string_view key) {
  std::string_view text;
  if (object.at_key(key).get(text) != SUCCESS) return {};
  return text;
}

void read_template(simdjson::dom::object object, LlamaProps& props) {
  props.chat_template = text_at(object, "chat_template");
  simdjson::dom::object caps;
  if (object.at_key("chat_template_caps").get(caps) == SUCCESS) {
    props.tools = flag_at(caps, "supports_tools");
    props.thinking = flag_at(caps, "supports_preserve_reasoning");
  }
  // A template of its own for conversations with tools.
  if (!text_at(object, "chat_template_tool_use").empty()) props.tools = true;
}

}  // namespace

Result<LlamaProps> parse_llama_props(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (const auto error = parser.parse(json.data(), json.size()).get(object); error != SUCCESS) {
    return fail(
        ErrorCode::engine_failed,
        fmt::format("llama-server's answer to GET /props is not a JSON object ({}); try another build "
                    "of llama.cpp (llama_server.binary)",
                    simdjson::error_message(error)));
  }
  LlamaProps props;
  simdjson::dom::object part;
  if (object.at_key("default_generation_settings").get(part) == SUCCESS)
    props.n_ctx = number_at(part, "n_ctx");
  if (object.at_key("modalities").get(part) == SUCCESS) {
    props.vision = flag_at(part, "vision").value_or(false);
    props.audio = flag_at(part, "audio").value_or(false);
  }
  props.slots = number_at(object, "total_slots");
  props.has_slots = flag_at(object, "endpoint_slots").value_or(true);
  read_template(object, props);
  return props;
}

bool is_healthy(std::string_view body) {
  if (body.size() > health_bytes_max) return false;
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(body.data(), body.size()).get(object) != SUCCESS) return false;
  return text_at(object, "status") == "ok";
}

std::optional<SlotsSeen> parse_llama_slots(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::array slots;
  if (parser.parse(json.data(), json.size()).get(slots) != SUCCESS) return std::nullopt;
  SlotsSeen seen;
  for (const simdjson::dom::element element : slots) {
    simdjson::dom::object slot;
    if (element.get(slot) != SUCCESS) return std::nullopt;
    const auto is_processing = flag_at(slot, "is_processing");
    if (!is_processing) return std::nullopt;
    if (*is_processing) ++seen.busy;
  }
  // All that it tells of a slot is of its task (the task's number among it) or never changes, and one process
  // writes the same things the same way: the bytes themselves are compared. FNV-1a.
  seen.fingerprint = 0xCBF29CE484222325U;
  for (const char c : json)
    seen.fingerprint = (seen.fingerprint ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return seen;
}

}  // namespace ggufd::engine
