// Why a llama-server has ended: what LlamaLog says of its last words. The lines are those of llama.cpp's
// ggml/src (gguf.cpp, ggml-alloc.c, ggml-backend.cpp and the backends), src/llama*.cpp, common and its
// server, of February 2025 and July 2026.
#include <algorithm>
#include <array>

#include "engine/llama_log.h"
#include "engine/log_text.h"
#include "protocol/utf8.h"

namespace ggufd::engine {
namespace {

// How much a line tells, the least first: what follows from a failure, the failure, what it happened to, and
// what can only be the cause.
enum class Weight : std::uint8_t { none, consequence, failure, object, cause };

struct Verdict {
  LlamaEnd end = LlamaEnd::unknown;
  Weight weight = Weight::none;
};

struct TellingText {
  std::string_view text;
  Verdict verdict;
};

// The first that is in a line counts.
constexpr auto telling_texts = std::to_array<TellingText>({
    {"cudaMalloc failed: out of memory", {LlamaEnd::out_of_device_memory, Weight::cause}},
    {"CUDA error: out of memory", {LlamaEnd::out_of_device_memory, Weight::cause}},
    {"ROCm error: out of memory", {LlamaEnd::out_of_device_memory, Weight::cause}},
    {"BLAS_STATUS_ALLOC_FAILED", {LlamaEnd::out_of_device_memory, Weight::cause}},
    {"ErrorOutOfDeviceMemory", {LlamaEnd::out_of_device_memory, Weight::cause}},
    {"ggml_vulkan: Device memory allocation of size ", {LlamaEnd::out_of_device_memory, Weight::cause}},
    {"Requested buffer size exceeds device ", {LlamaEnd::out_of_device_memory, Weight::cause}},
    {"CommandBufferCallbackErrorOutOfMemory", {LlamaEnd::out_of_device_memory, Weight::cause}},
    {"error: failed to allocate buffer, size = ", {LlamaEnd::out_of_device_memory, Weight::cause}},  // Metal
    {"ErrorOutOfHostMemory", {LlamaEnd::out_of_memory, Weight::cause}},
    {": failed to allocate buffer of size ", {LlamaEnd::out_of_memory, Weight::cause}},
    {"insufficient memory (attempted to allocate ", {LlamaEnd::out_of_memory, Weight::cause}},
    {"mmap failed: Cannot allocate memory", {LlamaEnd::out_of_memory, Weight::cause}},
    {"error loading model: std::bad_alloc", {LlamaEnd::out_of_memory, Weight::cause}},
    {"terminate called after throwing an instance of 'std::bad_alloc'",
     {LlamaEnd::out_of_memory, Weight::cause}},
    {"failed to allocate buffer for ", {LlamaEnd::out_of_memory, Weight::object}},
    {"failed to allocate compute ", {LlamaEnd::out_of_memory, Weight::object}},
    {"failed to allocate output buffer", {LlamaEnd::out_of_memory, Weight::object}},
    {"couldn't bind HTTP server socket", {LlamaEnd::cannot_listen, Weight::object}},
    {"failed to load draft model", {LlamaEnd::bad_argument, Weight::object}},
    {"failed to load multimodal model", {LlamaEnd::bad_argument, Weight::object}},
    {"failed to load lora adapter", {LlamaEnd::bad_argument, Weight::object}},
    {"failed to apply lora adapter", {LlamaEnd::bad_argument, Weight::object}},
    {"failed to load control vector file", {LlamaEnd::bad_argument, Weight::object}},
    {"is not compatible with the target model", {LlamaEnd::bad_argument, Weight::object}},
    {"chat template parsing error: ", {LlamaEnd::bad_argument, Weight::object}},
    {"built without SSL support", {LlamaEnd::bad_argument, Weight::object}},
    {"static assets path not found", {LlamaEnd::bad_argument, Weight::object}},
    {"V cache quantization requires flash_attn", {LlamaEnd::bad_argument, Weight::failure}},
    {" does not divide n_embd_head_", {LlamaEnd::bad_argument, Weight::failure}},
    {"failed to initialize the context: ", {LlamaEnd::bad_argument, Weight::failure}},
    {"failed to create context with model ", {LlamaEnd::bad_argument, Weight::consequence}},
    {"error loading model: ", {LlamaEnd::bad_model, Weight::failure}},
    {"failed to load model", {LlamaEnd::bad_model, Weight::consequence}},
    {"exiting due to HTTP server error", {LlamaEnd::cannot_listen, Weight::consequence}},
    {"exiting due to model loading error", {LlamaEnd::bad_model, Weight::consequence}},
});

// Lines of the command line's parser and of the GGUF reader, known by what they begin with.
constexpr auto telling_beginnings = std::to_array<TellingText>({
    {"gguf_init_from_", {LlamaEnd::bad_model, Weight::failure}},
    {"error: ", {LlamaEnd::bad_argument, Weight::failure}},
    {"error while handling ", {LlamaEnd::bad_argument, Weight::failure}},
    {"expected value for argument", {LlamaEnd::bad_argument, Weight::failure}},
});

// "failed to allocate CUDA0 buffer of size 4294967296", "unable to allocate CPU_REPACK buffer": by the name
// of the buffer's type, of which those of the machine's own memory are known.
std::optional<Verdict> judge_allocation(std::string_view line) {
  for (const std::string_view mark : {"failed to allocate ", "unable to allocate "}) {
    const auto rest = text_after(line, mark);
    if (!rest) continue;
    const std::string_view name = rest->substr(0, rest->find(' '));
    if (!rest->substr(name.size()).starts_with(" buffer")) continue;
    const bool is_ours =
        name.starts_with("CPU") || name.starts_with("AMX") || name == "HBM" || name.ends_with("_Host");
    return Verdict{is_ours ? LlamaEnd::out_of_memory : LlamaEnd::out_of_device_memory, Weight::cause};
  }
  return std::nullopt;
}

Verdict judge_line(std::string_view line) {
  const auto* text = std::ranges::find_if(
      telling_texts, [&](const TellingText& one) { return line.find(one.text) != std::string_view::npos; });
  if (text != telling_texts.end() && text->verdict.weight >= Weight::object) return text->verdict;
  if (const auto allocation = judge_allocation(line)) return *allocation;
  if (text != telling_texts.end()) return text->verdict;
  const auto* beginning = std::ranges::find_if(
      telling_beginnings, [&](const TellingText& one) { return line.starts_with(one.text); });
  return beginning != telling_beginnings.end() ? beginning->verdict : Verdict{};
}

// After these, what has failed before did no harm.
bool is_overcome(std::string_view line) {
  return line.ends_with(": model loaded") ||
         line.find("retrying without pipeline parallelism") != std::string_view::npos;
}

// Calls f with each line, without its stamp, blanks around it and what is beyond line_bytes_max. Lines for a
// router are none of its words: they hold the model's.
void for_each_line(std::string_view bytes, auto&& f) {
  while (!bytes.empty()) {
    const std::size_t line_end = bytes.find('\n');
    const std::string_view line = bytes.substr(0, std::min(line_end, LlamaLog::line_bytes_max));
    std::string without_colors;
    const bool has_colors = line.find('\x1B') != std::string_view::npos;
    if (has_colors) without_colors = readable_text(line);
    const std::string_view words =
        without_blanks(without_stamp(has_colors ? std::string_view(without_colors) : line));
    if (!words.starts_with("cmd_child_to_router:")) f(words);
    if (line_end == std::string_view::npos) return;
    bytes.remove_prefix(line_end + 1);
  }
}

struct Judgement {
  Verdict verdict;
  std::string line;
};

// Of lines that tell as much, the first: the others follow from it.
Judgement judge_output(std::string_view bytes) {
  Judgement judgement;
  for_each_line(bytes, [&](std::string_view line) {
    if (is_overcome(line)) judgement = {};
    const Verdict verdict = judge_line(line);
    if (verdict.weight > judgement.verdict.weight) judgement = {verdict, std::string(line)};
  });
  return judgement;
}

// A line of the backtrace that ggml prints when it aborts.
bool is_backtrace(std::string_view line) {
  return line.starts_with('#') || line.starts_with("warning: ") ||
         (line.ends_with(']') && line.contains("[0x"));
}

bool speaks_of_error(std::string_view line) {
  constexpr auto words =
      std::to_array<std::string_view>({"error", "Error", "ERROR", "failed", "Failed", "fatal", "FATAL",
                                       "terminate called", "what():", "GGML_ASSERT", "cannot ", "Cannot ",
                                       "unable to", "not found", "No such ", "denied", "invalid"});
  return !is_backtrace(line) &&
         std::ranges::any_of(words, [&](std::string_view word) { return line.contains(word); });
}

// What a crash leaves: its message comes within the last of what it printed, a backtrace after it.
std::string last_error(std::string_view bytes) {
  constexpr std::size_t crash_bytes_max = 8192;
  bytes = bytes.substr(bytes.size() - std::min(bytes.size(), crash_bytes_max));
  std::string last;
  std::string last_of_error;
  for_each_line(bytes, [&](std::string_view line) {
    if (!line.empty()) last = line;
    if (speaks_of_error(line)) last_of_error = line;
  });
  return last_of_error.empty() ? last : last_of_error;
}

}  // namespace

LlamaEnd LlamaLog::end() const {
  return judge_output(tail_.bytes()).verdict.end;
}

std::string LlamaLog::last_words() const {
  Judgement judgement = judge_output(tail_.bytes());
  if (judgement.line.empty()) judgement.line = last_error(tail_.bytes());
  std::string words = readable_text(judgement.line);
  words.resize(utf8_prefix(words, words_bytes_max).size());
  return words;
}

}  // namespace ggufd::engine
