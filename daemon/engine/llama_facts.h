// What a llama-server tells about itself over HTTP, and what follows from that for those who use it. Its
// answers are a stranger's: any bytes may come.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/config.h"
#include "engine/llama_log.h"
#include "protocol/error.h"
#include "protocol/status_event.h"

namespace ggufd::engine {

// GET /props.
struct LlamaProps {
  std::uint32_t n_ctx = 0;    // tokens that one request may have (a slot's share of the context); 0: not told
  std::string chat_template;  // its source, empty where there is none
  bool vision = false;
  bool audio = false;
  std::uint32_t slots = 0;
  // GET /slots may be asked. Older builds do not say; they answer it with 501 where they were not started for
  // it.
  bool has_slots = true;
  // What trying the template out has shown (chat_template_caps, since January 2026).
  std::optional<bool> tools;     // it shows the model the tools that a request brings
  std::optional<bool> thinking;  // it keeps earlier reasoning; others drop it and reason all the same
};
// `engine_failed` where it is no JSON object. What is missing, or of another type than expected, is as above.
Result<LlamaProps> parse_llama_props(std::string_view json);

// The body of GET /health: {"status":"ok"}.
bool is_healthy(std::string_view body);

// GET /slots.
struct SlotsSeen {
  std::uint32_t busy = 0;
  // Of what each slot works on or has last worked on: differs where a task has begun, got on or ended in
  // between, as far as /slots tells. Of one process only.
  std::uint64_t fingerprint = 0;
};
// Nothing where it is no list of slots.
std::optional<SlotsSeen> parse_llama_slots(std::string_view json);

// What the engine can do, of which the status frame tells (docs/protocol.md).
//   n_ctx        what one request may have, where sequences do not share the context
//   embed        `is_embedding_model`, or the arguments have --embedding(s) or --pooling
//   rerank       they have --rerank(ing), or --embedding(s) with --pooling rank
//   generate     neither an embedding model, nor --embedding(s), nor rerank
//   tools        as /props has it, else whether the chat template names a variable `tools`; without
//                --no-jinja, and only where it generates
//   thinking     as its log has it (LlamaSaid::thinks), else whether /props says so, or the chat template has
//                a mark of reasoning (`<think>`, `[THINK]`, enable_thinking, reasoning_content,
//                reasoning_effort); likewise
//   accelerator  cpu unless layers are on a card; gpu_layers, device_name and vram_total_bytes go with it
// `is_embedding_model`: the model's file says so (an encoder without a decoder, or
// `<architecture>.pooling_type`).
status::Capabilities llama_capabilities(const LlamaProps& props, const LlamaSaid& said,
                                        const config::LlamaServerConfig& server, bool is_embedding_model);

}  // namespace ggufd::engine
