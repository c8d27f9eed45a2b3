// Which graphics card a llama-server works with, from the lines that its backends and its loader print.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/status_event.h"

namespace ggufd::engine {

struct LlamaDevice {
  Accelerator accelerator = Accelerator::cpu;
  std::string description = {};                        // as its driver names it
  std::optional<std::uint64_t> vram_total_bytes = {};  // whole MiB
};

class LlamaDevices {
 public:
  // A line without its time stamp. Whether it told something of a card.
  bool read_line(std::string_view line);

  // The first that it says it uses, else the first that it has found. Valid until the next read_line().
  const LlamaDevice* device() const;

 private:
  struct Listed {
    std::string name;  // "CUDA0"
    LlamaDevice device;
  };

  bool read_listed(std::string_view line);
  bool read_used(std::string_view line);
  bool read_cuda(std::string_view line);
  bool read_vulkan(std::string_view line);
  bool read_metal(std::string_view line);
  bool read_buffer(std::string_view line);
  bool found(LlamaDevice device);

  std::vector<Listed> listed_;  // "device_info"; the first few
  std::optional<LlamaDevice> used_;
  std::optional<LlamaDevice> found_;
  std::optional<Accelerator> cuda_kind_;  // of the "Device N:" lines that come next: CUDA or ROCm
};

}  // namespace ggufd::engine
