// The lines are those of ggml-cuda.cu (CUDA and ROCm), ggml-vulkan.cpp, ggml-metal-*.m, of the list of
// devices in common/common.cpp and of "using device" in src/llama.cpp.
#include "engine/llama_devices.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/log_text.h"
#include "engine/output_tail.h"
#include "protocol/utf8.h"

namespace ggufd::engine {
namespace {

constexpr std::size_t listed_max = 16;
constexpr std::size_t description_bytes_max = 128;
constexpr std::uint64_t vram_bytes_per_mib = std::uint64_t{1} << 20U;
constexpr std::uint64_t vram_mib_max = std::uint64_t{1} << 30U;  // a pebibyte: more is a garbled line

std::optional<std::uint64_t> leading_mib(std::string_view text) {
  const auto mib = take_number<std::uint64_t>(text);
  if (!mib || *mib > vram_mib_max || !text.starts_with(" MiB")) return std::nullopt;
  return *mib * vram_bytes_per_mib;
}

// Of ggml's name of a device; nothing for processors, and for cards that the wire has no word for.
std::optional<Accelerator> accelerator_of(std::string_view name) {
  struct Kind {
    std::string_view prefix;
    Accelerator accelerator;
  };
  constexpr auto kinds = std::to_array<Kind>({{"CUDA", Accelerator::cuda},
                                              {"ROCm", Accelerator::rocm},
                                              {"Vulkan", Accelerator::vulkan},
                                              {"MTL", Accelerator::metal},
                                              {"Metal", Accelerator::metal}});
  const auto* kind =
      std::ranges::find_if(kinds, [&](const Kind& one) { return name.starts_with(one.prefix); });
  if (kind == kinds.end()) return std::nullopt;
  return kind->accelerator;
}

std::string description_of(std::string_view text) {
  const std::string readable = readable_text(without_blanks(text.substr(0, description_bytes_max)));
  return std::string(utf8_prefix(readable, description_bytes_max));
}

}  // namespace

bool LlamaDevices::read_line(std::string_view line) {
  return read_listed(line) || read_used(line) || read_cuda(line) || read_vulkan(line) || read_metal(line) ||
         read_buffer(line);
}

const LlamaDevice* LlamaDevices::device() const {
  if (used_) return &*used_;
  return found_ ? &*found_ : nullptr;
}

bool LlamaDevices::found(LlamaDevice device) {
  if (found_) return false;
  found_ = std::move(device);
  return true;
}

// "  - CUDA0   : NVIDIA L4 (22563 MiB, 22300 MiB free)"
bool LlamaDevices::read_listed(std::string_view line) {
  if (!line.ends_with(" MiB free)")) return false;
  const auto entry = text_after(line, "  - ");
  if (!entry) return false;
  const std::size_t name_end = entry->find(" : ");
  const std::size_t memory = entry->rfind(" (");
  if (name_end == std::string_view::npos || memory == std::string_view::npos || memory < name_end + 3)
    return false;
  const std::string_view name = without_blanks(entry->substr(0, name_end));
  const auto accelerator = accelerator_of(name);
  if (!accelerator || listed_.size() == listed_max) return false;
  LlamaDevice device{.accelerator = *accelerator,
                     .description = description_of(entry->substr(name_end + 3, memory - name_end - 3)),
                     .vram_total_bytes = leading_mib(entry->substr(memory + 2))};
  if (listed_.empty()) found_ = device;  // says more than what its backend has said
  listed_.push_back({description_of(name), std::move(device)});
  return true;
}

// "using device CUDA0 (NVIDIA L4) (0000:00:04.0) - 22300 MiB free"; older builds without the second brackets.
// The description may have brackets of its own.
bool LlamaDevices::read_used(std::string_view line) {
  const auto entry = text_after(line, "using device ");
  if (!entry || used_) return false;
  const std::string_view name = entry->substr(0, entry->find(" ("));
  const std::size_t end = entry->rfind(") - ");
  const auto accelerator = accelerator_of(name);
  if (!accelerator || end == std::string_view::npos || end < name.size() + 2) return false;
  const auto same = std::ranges::find(listed_, name, &Listed::name);
  if (same != listed_.end()) {
    used_ = same->device;
    return true;
  }
  std::string_view description = entry->substr(name.size() + 2, end - name.size() - 2);
  description = description.substr(0, description.rfind(") ("));
  used_ = LlamaDevice{.accelerator = *accelerator, .description = description_of(description)};
  // What its backend has said of it: that list comes first, and in the same order.
  if (found_ && found_->description == used_->description) used_->vram_total_bytes = found_->vram_total_bytes;
  return true;
}

// "ggml_cuda_init: found 1 CUDA devices (Total VRAM: 24080 MiB):", then for each
// "  Device 0: NVIDIA GeForce RTX 4090, compute capability 8.9, VMM: yes, VRAM: 24080 MiB" or
// "  Device 0: AMD Radeon RX 7900 XTX, gfx1100 (0x1100), VMM: no, Wave Size: 32, VRAM: 24560 MiB".
bool LlamaDevices::read_cuda(std::string_view line) {
  if (const auto rest = text_after(line, "ggml_cuda_init: found ")) {
    const auto kind = text_after(*rest, " ");
    cuda_kind_ = kind ? accelerator_of(*kind) : std::nullopt;
    return false;
  }
  if (!cuda_kind_ || !line.starts_with("  Device ")) return false;
  const auto entry = text_after(line, ": ");
  if (!entry) return false;
  const auto vram = text_after(*entry, ", VRAM: ");
  return found({.accelerator = *cuda_kind_,
                .description = description_of(entry->substr(0, entry->find(", "))),
                .vram_total_bytes = vram ? leading_mib(*vram) : std::nullopt});
}

// "ggml_vulkan: 0 = AMD Radeon Graphics (RADV RENOIR) (radv) | uma: 1 | fp16: 1 | …"
bool LlamaDevices::read_vulkan(std::string_view line) {
  const auto rest = text_after(line, "ggml_vulkan: ");
  if (!rest) return false;
  const auto entry = text_after(*rest, " = ");
  if (!entry) return false;
  const std::size_t end = entry->find(" | uma: ");
  if (end == std::string_view::npos) return false;
  const std::string_view with_driver = entry->substr(0, end);
  return found({.accelerator = Accelerator::vulkan,
                .description = description_of(with_driver.substr(0, with_driver.rfind(" (")))});
}

// "ggml_metal_init: picking default device: Apple M2"
bool LlamaDevices::read_metal(std::string_view line) {
  if (line.find("ggml_metal_") == std::string_view::npos) return false;
  for (const std::string_view mark : {"picking default device: ", "found device: "}) {
    if (const auto name = text_after(line, mark))
      return found({.accelerator = Accelerator::metal, .description = description_of(*name)});
  }
  return false;
}

// "load_tensors:        CUDA0 model buffer size =  1834.82 MiB"
bool LlamaDevices::read_buffer(std::string_view line) {
  const std::size_t end = line.find(" model buffer size = ");
  if (end == std::string_view::npos) return false;
  const std::string_view before = line.substr(0, end);
  const auto accelerator = accelerator_of(before.substr(before.rfind(' ') + 1));
  return accelerator && found({.accelerator = *accelerator});
}

}  // namespace ggufd::engine
