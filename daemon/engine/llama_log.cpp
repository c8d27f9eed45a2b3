// The lines are those of llama.cpp's src/llama-model.cpp, src/llama-kv-cache.cpp,
// src/llama-memory-recurrent.cpp, common/common.cpp, tools/server/server*.cpp and, of February 2025,
// examples/server/server.cpp.
#include "engine/llama_log.h"

#include <simdjson.h>

#include <algorithm>
#include <array>

#include "engine/log_text.h"

namespace ggufd::engine {
namespace {

constexpr std::uint64_t bytes_per_mib = std::uint64_t{1} << 20U;
constexpr std::uint64_t mib_max = std::uint64_t{1} << 30U;  // a pebibyte: more is a garbled line
constexpr std::uint32_t layers_max = 1'000'000;

// "   123.45 MiB"
std::optional<std::uint64_t> leading_size(std::string_view text) {
  text = without_blanks(text);
  const auto whole = take_number<std::uint64_t>(text);
  if (!whole || *whole >= mib_max || !take_prefix(text, ".")) return std::nullopt;
  const std::size_t decimals_length = text.size();
  const auto hundredths = take_number<std::uint32_t>(text);
  if (!hundredths || decimals_length - text.size() != 2 || !text.starts_with(" MiB")) return std::nullopt;
  return *whole * bytes_per_mib + (*hundredths * bytes_per_mib + 50) / 100;
}

void add_bytes(std::optional<std::uint64_t>& total, std::uint64_t bytes) {
  total = std::min(total.value_or(0) + bytes, mib_max * bytes_per_mib);
}

bool is_loopback(std::string_view host) {
  return host == "127.0.0.1" || host == "localhost" || host == "[::1]" || host == "::1";
}

std::size_t leading_dots(std::string_view line) {
  return std::min(line.size(), line.find_first_not_of('.'));
}

// What follows "cmd_child_to_router:state:", which comes on standard output and so may come after dots of a
// line on standard error.
std::optional<std::string_view> router_state(std::string_view line) {
  line.remove_prefix(leading_dots(line));
  if (!take_prefix(line, "cmd_child_to_router:state:")) return std::nullopt;
  return line;
}

// Which of the stages a load goes through, and how far it is in that.
struct RouterProgress {
  std::size_t stages = 0;
  std::size_t stage = 0;
  double value = 0;
};

// {"state":"loading","payload":{"stages":["text_model",…],"current":"text_model","value":0.25}}
std::optional<RouterProgress> parse_router_progress(simdjson::dom::object state) {
  simdjson::dom::object payload;
  simdjson::dom::array stages;
  std::string_view name;
  std::string_view current;
  RouterProgress progress;
  if (state.at_key("state").get(name) != simdjson::SUCCESS || name != "loading") return std::nullopt;
  if (state.at_key("payload").get(payload) != simdjson::SUCCESS) return std::nullopt;
  if (payload.at_key("stages").get(stages) != simdjson::SUCCESS) return std::nullopt;
  if (payload.at_key("current").get(current) != simdjson::SUCCESS) return std::nullopt;
  if (payload.at_key("value").get(progress.value) != simdjson::SUCCESS) return std::nullopt;
  bool is_found = false;
  for (const simdjson::dom::element stage : stages) {
    std::string_view stage_name;
    if (!is_found && stage.get(stage_name) == simdjson::SUCCESS && stage_name == current) {
      is_found = true;
      progress.stage = progress.stages;
    }
    ++progress.stages;
  }
  if (!is_found) return std::nullopt;
  progress.value = std::clamp(progress.value, 0.0, 1.0);
  return progress;
}

}  // namespace

std::string_view without_stamp(std::string_view line) {
  const std::string_view whole = line;
  constexpr auto parts = std::to_array<std::string_view>({".", ".", ".", " "});
  for (const std::string_view part : parts) {
    if (!take_number<std::uint32_t>(line) || !take_prefix(line, part)) return whole;
  }
  const bool has_level = line.size() >= 2 && line[1] == ' ' && std::string_view("DIWE").contains(line[0]);
  return has_level ? line.substr(2) : line;
}

bool LlamaLog::take(std::string_view bytes) {
  tail_.append(bytes);
  if (is_loaded_ && said_.port) return false;
  const LlamaSaid before = said_;
  while (!bytes.empty()) {
    const std::size_t line_end = bytes.find('\n');
    take_part_of_line(bytes.substr(0, line_end));
    if (line_end == std::string_view::npos) break;
    bytes.remove_prefix(line_end + 1);
    read_line(line_);
    line_.clear();
  }
  // The dots of a load come one by one, and their line ends with the last.
  if (shows_dots_) count_dots(dots_ + leading_dots(line_));
  return said_ != before;
}

void LlamaLog::take_part_of_line(std::string_view bytes) {
  line_ += bytes.substr(0, line_bytes_max - std::min(line_.size(), line_bytes_max));
}

void LlamaLog::read_line(std::string_view line) {
  std::string without_colors;
  if (line.find('\x1B') != std::string_view::npos) {
    without_colors = readable_text(line);
    line = without_colors;
  }
  if (shows_dots_) {
    dots_ = std::min<std::size_t>(dots_ + leading_dots(line), 100);
    count_dots(dots_);
    line.remove_prefix(leading_dots(line));
  }
  if (line.ends_with('\r')) line.remove_suffix(1);
  line = without_stamp(line);
  if (!said_.port) read_port(line);
  if (is_loaded_) return;
  if (const auto json = router_state(line)) return read_router_line(*json);
  if (line.ends_with(": model loaded")) {
    is_loaded_ = true;
    shows_dots_ = false;
    return;
  }
  read_load_line(line);
}

// "HTTP server is listening, hostname: 127.0.0.1, port: 8080, http threads: 3" of older builds, before the
// load; "listening on http://127.0.0.1:8080" of all, after it.
void LlamaLog::read_port(std::string_view line) {
  std::optional<std::string_view> rest = text_after(line, "HTTP server is listening, hostname: ");
  std::string_view mark = ", port: ";
  if (!rest) {
    rest = text_after(line, "listening on http://");
    mark = ":";
  }
  if (!rest) return;
  const std::size_t host_end = rest->rfind(mark);
  if (host_end == std::string_view::npos || !is_loopback(rest->substr(0, host_end))) return;
  rest->remove_prefix(host_end + mark.size());
  if (const auto port = take_number<std::uint16_t>(*rest); port && *port != 0) said_.port = port;
}

void LlamaLog::read_load_line(std::string_view line) {
  if (const auto rest = text_after(line, "loading model tensors, this can take a while... (")) {
    shows_dots_ = !has_router_lines_;
    if (const auto mmap = text_after(*rest, "mmap = ")) said_.uses_mmap = mmap->starts_with("true");
  }
  if (line.find("warming up the model with an empty run") != std::string_view::npos) said_.warms_up = true;
  if (const auto thinks = text_after(line, "chat template, thinking = "))
    said_.thinks = thinks->starts_with('1');
  read_sizes(line);
  read_layers(line);
  read_devices(line);
}

// "load_tensors:   CPU_Mapped model buffer size =  1918.35 MiB"
// "llama_kv_cache:        CPU KV buffer size =   896.00 MiB"; "RS" for recurrent state
void LlamaLog::read_sizes(std::string_view line) {
  if (const auto rest = text_after(line, " model buffer size = ")) {
    if (const auto bytes = leading_size(*rest)) add_bytes(said_.model_buffer_bytes, *bytes);
    if (line.find("_Mapped model buffer size") != std::string_view::npos && !said_.uses_mmap)
      said_.uses_mmap = true;
  }
  for (const std::string_view mark : {" KV buffer size = ", " RS buffer size = ", " state buffer size = "}) {
    const auto rest = text_after(line, mark);
    const auto bytes = rest ? leading_size(*rest) : std::nullopt;
    if (bytes) add_bytes(said_.kv_buffer_bytes, *bytes);
  }
}

// "load_tensors: offloaded 33/33 layers to GPU"; a draft model's come after the model's.
void LlamaLog::read_layers(std::string_view line) {
  auto rest = text_after(line, "offloaded ");
  if (!rest || said_.layers) return;
  const auto offloaded = take_number<std::uint32_t>(*rest);
  if (!offloaded || !take_prefix(*rest, "/")) return;
  const auto layers = take_number<std::uint32_t>(*rest);
  if (!layers || !rest->starts_with(" layers to GPU") || *offloaded > *layers || *layers > layers_max) return;
  said_.offloaded_layers = offloaded;
  said_.layers = layers;
}

void LlamaLog::read_devices(std::string_view line) {
  if (!devices_.read_line(line)) return;
  const LlamaDevice& device = *devices_.device();
  said_.accelerator = device.accelerator;
  said_.device_name.reset();
  if (!device.description.empty()) said_.device_name = device.description;
  said_.vram_total_bytes = device.vram_total_bytes;
}

// Stages count in their order only: what a later one tells before its turn is a measurement of what it will
// need.
void LlamaLog::read_router_line(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::object state;
  if (parser.parse(json.data(), json.size()).get(state) != simdjson::SUCCESS) return;
  const auto progress = parse_router_progress(state);
  if (!progress) return;
  has_router_lines_ = true;
  shows_dots_ = false;
  const bool is_next = progress->stage == stage_ + 1 && stage_is_done_;
  if (progress->stage != stage_ && !is_next) return;
  stage_ = progress->stage;
  stage_is_done_ = (!is_next && stage_is_done_) || progress->value >= 1;
  const double done = static_cast<double>(stage_) + progress->value;
  raise_percent(static_cast<std::size_t>(done * 100 / static_cast<double>(progress->stages)));
}

// Without any, nothing is known: builds that are watched by a callback print none.
void LlamaLog::count_dots(std::size_t dots) {
  if (dots > 0) raise_percent(dots);
}

void LlamaLog::raise_percent(std::size_t percent) {
  const auto bounded = static_cast<std::uint32_t>(std::min<std::size_t>(percent, 100));
  said_.loaded_percent = std::max(said_.loaded_percent.value_or(0), bounded);
}

}  // namespace ggufd::engine
