// Any bytes as the output of a llama-server, in any pieces, and as its answers: what is taken from them keeps
// its promises.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/llama_facts.h"
#include "engine/llama_log.h"
#include "engine/output_tail.h"
#include "protocol/utf8.h"

namespace {

using namespace ggufd;
using namespace ggufd::engine;

void require(bool condition) {
  if (!condition) std::abort();
}

// Well-formed, and nothing in it that a terminal obeys.
bool is_readable(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_sequence_length(text);
    if (length == 0) return false;
    const auto first = static_cast<unsigned char>(text[0]);
    if (first < 0x20 && first != '\n' && first != '\t') return false;
    if (first == 0x7F || (first == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0)) return false;
    text.remove_prefix(length);
  }
  return true;
}

void check_said(const LlamaSaid& said, const LlamaSaid& before) {
  require(!said.port || *said.port != 0);
  require(!before.port || said.port == before.port);
  require(said.loaded_percent.value_or(0) <= 100);
  require(said.loaded_percent.value_or(0) >= before.loaded_percent.value_or(0));
  require(said.offloaded_layers.has_value() == said.layers.has_value());
  require(said.offloaded_layers.value_or(0) <= said.layers.value_or(0));
  require(!said.device_name || (said.accelerator && is_readable(*said.device_name)));
}

void check_words(const LlamaLog& log, std::size_t max_bytes) {
  const std::string words = log.last_words();
  require(is_readable(words) && words.size() <= LlamaLog::words_bytes_max);
  require(words.find('\n') == std::string::npos);
  require(log.end() == LlamaEnd::unknown || !words.empty());
  const std::string tail = log.tail(max_bytes);
  require(is_readable(tail) && tail.size() <= max_bytes);
  require(log.tail(1 << 20).ends_with(tail));
}

// The same output at once and in pieces is the same.
void check_log(std::string_view output, std::size_t piece) {
  LlamaLog whole;
  whole.take(output);
  LlamaLog pieces;
  while (!output.empty()) {
    const std::string_view part = output.substr(0, piece);
    const LlamaSaid before = pieces.said();
    const bool has_changed = pieces.take(part);
    require(has_changed == (pieces.said() != before));
    check_said(pieces.said(), before);
    output.remove_prefix(part.size());
  }
  require(pieces.said() == whole.said());
  require(pieces.end() == whole.end() && pieces.last_words() == whole.last_words());
  check_words(whole, piece);
  require(pieces.tail(1 << 20) == whole.tail(1 << 20));
}

void check_answers(std::string_view body, std::string_view output) {
  LlamaLog log;
  log.take(output);
  const auto props = parse_llama_props(body);
  if (!props) require(props.error().code == ErrorCode::engine_failed && !props.error().message.empty());
  if (props) {
    const auto capabilities = llama_capabilities(*props, log.said(), {}, false);
    require(capabilities.n_ctx == props->n_ctx && capabilities.generate);
    require((capabilities.accelerator == Accelerator::cpu) == (capabilities.gpu_layers == 0));
  }
  if (const auto slots = parse_llama_slots(body)) {
    require(slots->busy <= body.size() && !props);
    require(parse_llama_slots(std::string(body))->fingerprint == slots->fingerprint);
  }
  if (is_healthy(body)) require(props.has_value());
}

}  // namespace

// The first byte is the size of the pieces; the rest is output, and an answer.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  check_log(text, std::max<std::size_t>(data[0], 1));
  check_answers(text, text);
  return 0;
}
