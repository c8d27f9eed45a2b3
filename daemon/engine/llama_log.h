// What a llama-server says while it loads and when it ends, read from its standard output and error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/llama_devices.h"
#include "engine/output_tail.h"
#include "protocol/status_event.h"

namespace ggufd::engine {

// What it has said so far; all absent until it is said. Sizes are printed in MiB with two decimals: so exact
// they are.
struct LlamaSaid {
  std::optional<std::uint16_t> port;            // where it listens, on loopback
  std::optional<std::uint32_t> loaded_percent;  // 0..100, never falling
  std::optional<bool> uses_mmap;
  std::optional<std::uint64_t> model_buffer_bytes;  // of all devices, a draft model's included
  std::optional<std::uint64_t> kv_buffer_bytes;     // the same; recurrent state included
  std::optional<std::uint32_t> offloaded_layers;    // of the model's layers, the output layer counted
  std::optional<std::uint32_t> layers;
  // The first graphics card that it says it uses, else the first that it has found. It uses a card also where
  // it puts no layer on it.
  std::optional<Accelerator> accelerator;
  std::optional<std::string> device_name;
  std::optional<std::uint64_t> vram_total_bytes;
  std::optional<bool> thinks;  // it has tried the chat template out: reasoning is known there, and not off
  bool warms_up = false;

  friend bool operator==(const LlamaSaid&, const LlamaSaid&) = default;
};

// Why it ended.
enum class LlamaEnd : std::uint8_t {
  unknown,               // its words do not tell: a crash, or an orderly end
  bad_model,             // it cannot open, read or make sense of the model's file
  out_of_memory,         // of the machine
  out_of_device_memory,  // of a graphics card
  cannot_listen,         // the socket or the port is taken
  bad_argument,          // a flag that it does not know, or a setting that this model does not go with
};

// Takes any bytes, in any pieces, and keeps a bounded part of them.
class LlamaLog {
 public:
  // Lines are read up to here; the rest of a longer one is kept in the tail only.
  static constexpr std::size_t line_bytes_max = 8192;
  static constexpr std::size_t words_bytes_max = 300;

  // Whether said() has changed.
  bool take(std::string_view bytes);
  const LlamaSaid& said() const { return said_; }
  // It has said that the model is loaded: what comes now is about requests.
  bool is_loaded() const { return is_loaded_; }

  // Why it ended, as far as the words in the tail tell.
  LlamaEnd end() const;
  // The line that says so, else the last that speaks of an error, else the last: without its time stamp,
  // valid UTF-8, at most words_bytes_max. Empty where it has said nothing.
  std::string last_words() const;

  // The last 64 KiB of its output for people, at most max_bytes of it (engine/output_tail.h).
  std::string tail(std::size_t max_bytes) const { return tail_.text(max_bytes); }

 private:
  void take_part_of_line(std::string_view bytes);
  void read_line(std::string_view line);
  void read_port(std::string_view line);
  void read_load_line(std::string_view line);
  void read_sizes(std::string_view line);
  void read_layers(std::string_view line);
  void read_devices(std::string_view line);
  void read_router_line(std::string_view json);
  void count_dots(std::size_t dots);
  void raise_percent(std::size_t percent);

  OutputTail tail_;
  std::string line_;  // the one that has not ended yet
  LlamaSaid said_;
  LlamaDevices devices_;
  bool is_loaded_ = false;   // what comes now is about requests
  bool shows_dots_ = false;  // the dots that come now are percents of the weights
  std::size_t dots_ = 0;     // of lines that have ended
  bool has_router_lines_ = false;
  // Of the stages that the router lines tell of, the one that is under way.
  std::size_t stage_ = 0;
  bool stage_is_done_ = false;
};

}  // namespace ggufd::engine
