#include "engine/llama_devices.h"

#include <doctest/doctest.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace ggufd::engine {
namespace {

constexpr std::uint64_t mib = 1 << 20;

// What is known after these lines; no accelerator where nothing is.
struct Known {
  std::optional<Accelerator> accelerator = {};
  std::string description = {};
  std::optional<std::uint64_t> vram_total_bytes = {};
};
Known read(std::initializer_list<std::string_view> lines) {
  LlamaDevices devices;
  for (const std::string_view line : lines) devices.read_line(line);
  const LlamaDevice* device = devices.device();
  if (device == nullptr) return {};
  return {device->accelerator, device->description, device->vram_total_bytes};
}

TEST_CASE("CUDA, as its backend prints it in 2025 and in 2026") {
  const auto old = read({"ggml_cuda_init: found 1 CUDA devices:",
                         "  Device 0: NVIDIA GeForce RTX 4090, compute capability 8.9, VMM: yes"});
  CHECK(old.accelerator == Accelerator::cuda);
  CHECK(old.description == "NVIDIA GeForce RTX 4090");
  CHECK_FALSE(old.vram_total_bytes.has_value());
  const auto now = read({"ggml_cuda_init: found 2 CUDA devices (Total VRAM: 46643 MiB):",
                         "  Device 0: NVIDIA L4, compute capability 8.9, VMM: yes, VRAM: 22563 MiB",
                         "  Device 1: NVIDIA RTX A5000, compute capability 8.6, VMM: yes, VRAM: 24080 MiB"});
  CHECK(now.description == "NVIDIA L4");
  CHECK(now.vram_total_bytes == 22563 * mib);
}

TEST_CASE("ROCm") {
  const auto device =
      read({"ggml_cuda_init: found 1 ROCm devices (Total VRAM: 24560 MiB):",
            "  Device 0: AMD Radeon RX 7900 XTX, gfx1100 (0x1100), VMM: no, Wave Size: 32, VRAM: 24560 MiB"});
  CHECK(device.accelerator == Accelerator::rocm);
  CHECK(device.description == "AMD Radeon RX 7900 XTX");
  CHECK(device.vram_total_bytes == 24560 * mib);
}

TEST_CASE("Vulkan and Metal") {
  const auto vulkan =
      read({"ggml_vulkan: Found 1 Vulkan devices:",
            "ggml_vulkan: 0 = AMD Radeon Graphics (RADV RENOIR) (radv) | uma: 1 | fp16: 1 | warp size: 64"});
  CHECK(vulkan.accelerator == Accelerator::vulkan);
  CHECK(vulkan.description == "AMD Radeon Graphics (RADV RENOIR)");
  const auto metal =
      read({"ggml_metal_init: allocating", "ggml_metal_init: picking default device: Apple M2 Max"});
  CHECK(metal.accelerator == Accelerator::metal);
  CHECK(metal.description == "Apple M2 Max");
}

TEST_CASE("the list of devices tells the memory; processors and others are no cards") {
  const auto device = read({"cmn  common_param: device_info:",
                            "cmn  common_param:   - CPU     : AMD EPYC 7763 (31954 MiB, 30000 MiB free)",
                            "cmn  common_param:   - SYCL0   : Intel Arc A770 (16225 MiB, 16000 MiB free)",
                            "cmn  common_param:   - Vulkan0 : NVIDIA L4 (a) (22563 MiB, 22300 MiB free)",
                            "cmn  common_param:   - Vulkan1 : llvmpipe (31954 MiB, 31954 MiB free)"});
  CHECK(device.accelerator == Accelerator::vulkan);
  CHECK(device.description == "NVIDIA L4 (a)");
  CHECK(device.vram_total_bytes == 22563 * mib);
}

TEST_CASE("the device that is used counts, with what is known of it") {
  const std::string_view listed0 = "  - CUDA0   : NVIDIA L4 (22563 MiB, 22300 MiB free)";
  const std::string_view listed1 = "  - CUDA1   : NVIDIA RTX A5000 (24080 MiB, 24000 MiB free)";
  const auto second = read(
      {listed0, listed1,
       "llama_prepare_model_devices: using device CUDA1 (NVIDIA RTX A5000) (0000:02:00.0) - 24000 MiB free",
       "llama_prepare_model_devices: using device CUDA0 (NVIDIA L4) (0000:01:00.0) - 22300 MiB free"});
  CHECK(second.description == "NVIDIA RTX A5000");
  CHECK(second.vram_total_bytes == 24080 * mib);
  const auto old = read(
      {"ggml_cuda_init: found 1 CUDA devices:",
       "  Device 0: AMD Radeon (TM), compute capability 8.9, VMM: yes, VRAM: 100 MiB",
       "llama_model_load_from_file_impl: using device Vulkan0 (AMD Radeon (RADV RENOIR)) - 2048 MiB free"});
  CHECK(old.accelerator == Accelerator::vulkan);
  CHECK(old.description == "AMD Radeon (RADV RENOIR)");
  CHECK_FALSE(old.vram_total_bytes.has_value());
  const auto of_backend = read({"ggml_cuda_init: found 1 CUDA devices (Total VRAM: 100 MiB):",
                                "  Device 0: NVIDIA L4, compute capability 8.9, VMM: yes, VRAM: 100 MiB",
                                "using device CUDA0 (NVIDIA L4) (0000:01:00.0) - 90 MiB free"});
  CHECK(of_backend.vram_total_bytes == 100 * mib);
}

TEST_CASE("where nothing else tells of a card, the buffers of the weights do") {
  const auto device = read({"load_tensors:   CPU_Mapped model buffer size =   308.23 MiB",
                            "load_tensors:        CUDA0 model buffer size =  1834.82 MiB"});
  CHECK(device.accelerator == Accelerator::cuda);
  CHECK(device.description.empty());
  CHECK_FALSE(read({"load_tensors:   CPU_Mapped model buffer size =   308.23 MiB"}).accelerator.has_value());
  CHECK_FALSE(read({" model buffer size = "}).accelerator.has_value());
}

TEST_CASE("lines that are cut off or of something else tell nothing") {
  for (const std::string_view line :
       {"", "using device ", "using device CUDA0", "using device CUDA0 (", "using device CUDA0) - ",
        "using device CPU (AMD EPYC) - 1 MiB free", "  Device 0: NVIDIA L4, compute",
        "ggml_vulkan: ", "ggml_vulkan: 0 = ", "  -  MiB free)", "  - CUDA0 : (1 MiB, 1 MiB free)",
        "ggml_metal_init: ", "  - CUDA0 MiB free)", "ggml_cuda_init: found 1", "picking default device: x"}) {
    CAPTURE(line);
    CHECK_FALSE(read({line}).accelerator.has_value());
  }
  CHECK_FALSE(read({"ggml_cuda_init: found 1 MUSA devices:", "  Device 0: MTT S80, VMM: yes"})
                  .accelerator.has_value());
  CHECK_FALSE(read({"ggml_cuda_init: found 1 CUDA devices:", "  Device 0"}).accelerator.has_value());
  const auto garbled = read({"  - CUDA0 : x (99999999999999999999 MiB, 1 MiB free)"});
  CHECK_FALSE(garbled.vram_total_bytes.has_value());
}

TEST_CASE("a name is valid UTF-8 and short") {
  const auto device =
      read({"ggml_metal_init: found device: \xFF"
            "A\x1B[31m"});
  CHECK(device.description ==
        "\xEF\xBF\xBD"
        "A");
  const std::string name = "ggml_metal_init: found device: " + std::string(5000, '\xFF');
  CHECK(read({name}).description.size() <= 128);
}

}  // namespace
}  // namespace ggufd::engine
