// Why it has ended, in its own words.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <string>
#include <string_view>

#include "engine/llama_log.h"

namespace ggufd::engine {
namespace {

struct Ended {
  std::string_view what;
  std::string_view output;
  LlamaEnd end;
  std::string_view words;
};

// As llama.cpp prints them, in February 2025 where no line has a stamp.
const Ended ends[] = {
    {"a file that is no GGUF",
     "gguf_init_from_file_impl: invalid magic characters: 'XXXX', expected 'GGUF'\n"
     "llama_model_load: error loading model: llama_model_loader: failed to load model from /proc/self/fd/3\n"
     "llama_model_load_from_file_impl: failed to load model\n"
     "common_init_from_params: failed to load model '/proc/self/fd/3'\n"
     "srv    load_model: failed to load model, '/proc/self/fd/3'\n"
     "main: exiting due to model loading error\n",
     LlamaEnd::bad_model, "gguf_init_from_file_impl: invalid magic characters: 'XXXX', expected 'GGUF'"},
    {"an architecture that it does not know",
     "0.00.100.000 E llama_model_load: error loading model: unknown model architecture: 'foo'\n"
     "0.00.100.010 E llama_model_load_from_file_impl: failed to load model\n"
     "0.00.100.020 E cmn  common_init_: failed to load model '/proc/self/fd/3'\n"
     "0.00.100.030 E srv    load_model: failed to load model, '/proc/self/fd/3'\n"
     "0.00.100.040 I srv    operator(): operator(): cleaning up before exit...\n"
     "0.00.100.050 E srv  llama_server: exiting due to model loading error\n",
     LlamaEnd::bad_model, "llama_model_load: error loading model: unknown model architecture: 'foo'"},
    {"a file that is cut off",
     "0.00.007.166 E gguf_init_from_reader: failed to read key-value pairs\n"
     "0.00.007.180 E llama_model_load: error loading model: llama_model_loader: failed to load model from "
     "/proc/self/fd/3\n",
     LlamaEnd::bad_model, "gguf_init_from_reader: failed to read key-value pairs"},
    {"weights that are cut off",
     "0.00.009.812 E llama_model_load: error loading model: tensor 'blk.1.ffn_down.weight' data is not "
     "within the "
     "file bounds, model is corrupted or incomplete\n",
     LlamaEnd::bad_model,
     "llama_model_load: error loading model: tensor 'blk.1.ffn_down.weight' data is not within the file "
     "bounds, "
     "model is corrupted or incomplete"},
    {"the last line only", "main: exiting due to model loading error\n", LlamaEnd::bad_model,
     "main: exiting due to model loading error"},
    {"CUDA memory for the weights",
     "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9216.00 MiB on device 0: cudaMalloc failed: out "
     "of memory\n"
     "llama_model_load: error loading model: unable to allocate CUDA0 buffer\n"
     "llama_model_load_from_file_impl: failed to load model\n",
     LlamaEnd::out_of_device_memory,
     "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9216.00 MiB on device 0: cudaMalloc failed: out "
     "of memory"},
    {"a card's memory, said by the loader alone",
     "0.00.100.000 E alloc_tensor_range: failed to allocate ROCm1 buffer of size 9663676416\n"
     "0.00.100.000 E llama_model_load: error loading model: unable to allocate ROCm1 buffer\n",
     LlamaEnd::out_of_device_memory,
     "alloc_tensor_range: failed to allocate ROCm1 buffer of size 9663676416"},
    {"Vulkan memory",
     "ggml_vulkan: Device memory allocation of size 4294967296 failed.\n"
     "ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory\n",
     LlamaEnd::out_of_device_memory, "ggml_vulkan: Device memory allocation of size 4294967296 failed."},
    {"Metal memory", "ggml_metal_buffer_init: error: failed to allocate buffer, size =  9216.00 MiB\n",
     LlamaEnd::out_of_device_memory,
     "ggml_metal_buffer_init: error: failed to allocate buffer, size =  9216.00 MiB"},
    {"CUDA memory while it computes",
     "main: model loaded\nCUDA error: out of memory\n  current device: 0, in function alloc at "
     "ggml-cuda.cu:434\n"
     "  cuMemCreate(&handle, reserve_size, &prop, 0)\n/src/ggml-cuda.cu:73: CUDA error\n",
     LlamaEnd::out_of_device_memory, "CUDA error: out of memory"},
    {"memory for the KV cache",
     "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 137438953472\n"
     "llama_kv_cache_init: failed to allocate buffer for kv cache\n"
     "llama_init_from_model: llama_kv_cache_init() failed for self-attention cache\n"
     "common_init_from_params: failed to create context with model '/proc/self/fd/3'\n",
     LlamaEnd::out_of_memory,
     "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 137438953472"},
    {"memory for the KV cache, in 2026",
     "0.00.209.223 E ggml_aligned_malloc: insufficient memory (attempted to allocate 1024.00 MB)\n"
     "0.00.209.236 E ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size "
     "1073741824\n"
     "0.00.209.236 E alloc_tensor_range: failed to allocate CPU buffer of size 1073741824\n"
     "0.00.233.876 E llama_init_from_model: failed to initialize the context: failed to allocate buffer for "
     "kv cache\n"
     "0.00.233.925 E cmn  common_init_: failed to create context with model '/proc/self/fd/3'\n",
     LlamaEnd::out_of_memory, "ggml_aligned_malloc: insufficient memory (attempted to allocate 1024.00 MB)"},
    {"memory, said by the cache alone",
     "0.00.100.000 E llama_init_from_model: failed to initialize the context: failed to allocate buffer for "
     "kv cache\n"
     "0.00.100.000 E cmn  common_init_: failed to create context with model 'x'\n",
     LlamaEnd::out_of_memory,
     "llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache"},
    {"memory that is the machine's, though a card may read it",
     "alloc_tensor_range: failed to allocate CUDA_Host buffer of size 9663676416\n", LlamaEnd::out_of_memory,
     "alloc_tensor_range: failed to allocate CUDA_Host buffer of size 9663676416"},
    {"memory for anything",
     "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n",
     LlamaEnd::out_of_memory, "terminate called after throwing an instance of 'std::bad_alloc'"},
    {"a socket that is taken",
     "0.00.100.000 E srv         start: couldn't bind HTTP server socket, hostname: /run/a.sock, port: 8080\n"
     "0.00.100.010 I srv    operator(): operator(): cleaning up before exit...\n"
     "0.00.100.020 E srv  llama_server: exiting due to HTTP server error\n",
     LlamaEnd::cannot_listen,
     "srv         start: couldn't bind HTTP server socket, hostname: /run/a.sock, port: 8080"},
    {"a flag that it does not know", "error: invalid argument: --no-such-flag\n", LlamaEnd::bad_argument,
     "error: invalid argument: --no-such-flag"},
    {"a value that is none",
     "error while handling argument \"-ngl\": stoi\n\nusage:\n-ngl,  --gpu-layers N\n\nto show complete "
     "usage, run with -h\n",
     LlamaEnd::bad_argument, "error while handling argument \"-ngl\": stoi"},
    {"a cache type that needs flash attention",
     "llama_init_from_model: V cache quantization requires flash_attn\n"
     "common_init_from_params: failed to create context with model 'x'\n",
     LlamaEnd::bad_argument, "llama_init_from_model: V cache quantization requires flash_attn"},
    {"another model that an argument names",
     "llama_model_load: error loading model: unknown model architecture: 'foo'\n"
     "llama_model_load_from_file_impl: failed to load model\n"
     "srv    load_model: failed to load draft model, '/models/draft.gguf'\n",
     LlamaEnd::bad_argument, "srv    load_model: failed to load draft model, '/models/draft.gguf'"},
    {"a crash with a message",
     "/src/ggml/src/ggml.c:3100: GGML_ASSERT(ggml_can_mul_mat(a, b)) failed\n[New LWP 12]\n"
     "warning: 30\t../sysdeps/unix/sysv/linux/wait4.c: No such file or directory\n"
     "#0  0x00007f0 in __GI___wait4 (pid=1)\n#3  0x00007f1 in ggml_cuda_error (stmt=0x1)\n"
     "/opt/llama/libggml-base.so(ggml_cuda_error+0x1b)[0x7f0a]\n[Inferior 1 (process 1) detached]\n",
     LlamaEnd::unknown, "/src/ggml/src/ggml.c:3100: GGML_ASSERT(ggml_can_mul_mat(a, b)) failed"},
    {"an exception",
     "terminate called after throwing an instance of 'std::runtime_error'\n  what():  Invalid input batch.\n",
     LlamaEnd::unknown, "what():  Invalid input batch."},
    {"a library that is missing",
     "/opt/llama/llama-server: error while loading shared libraries: libcuda.so.1: cannot open shared object "
     "file\n",
     LlamaEnd::unknown,
     "/opt/llama/llama-server: error while loading shared libraries: libcuda.so.1: cannot open shared object "
     "file"},
    {"nothing of the kind", "main: loading model\nllama_model_loader: loaded meta data\n\n \n",
     LlamaEnd::unknown, "llama_model_loader: loaded meta data"},
    {"a line for a router at last",
     "0.00.006.523 I srv    load_model: loading model '/proc/self/fd/3'\n"
     "cmd_child_to_router:state:{\"state\":\"ready\",\"payload\":{\"id\":\"error loading model: none\"}}\n",
     LlamaEnd::unknown, "srv    load_model: loading model '/proc/self/fd/3'"},
    {"no end of a line", "\x1B[31m0.00.000.000 \x1B[0mE couldn't bind HTTP server socket",
     LlamaEnd::cannot_listen, "couldn't bind HTTP server socket"},
    {"nothing", "", LlamaEnd::unknown, ""},
};

TEST_CASE("what it says last tells why it has ended") {
  for (const Ended& ended : ends) {
    CAPTURE(ended.what);
    LlamaLog log;
    log.take(ended.output);
    CHECK(log.end() == ended.end);
    CHECK(log.last_words() == ended.words);
  }
}

TEST_CASE("what it has got over is not why it has ended") {
  LlamaLog log;
  SUBCASE("a smaller try succeeded") {
    log.take(
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 1.00 MiB on device 0: cudaMalloc failed: out "
        "of memory\n");
    CHECK(log.end() == LlamaEnd::out_of_device_memory);
    log.take("sched_reserve: compute buffer allocation failed, retrying without pipeline parallelism\n");
  }
  SUBCASE("the model was loaded") {
    log.take("error loading model: x\nsrv  llama_server: model loaded\n");
  }
  CHECK(log.end() == LlamaEnd::unknown);
}

TEST_CASE("memory that it can do without is none that it has died of") {
  for (const std::string_view line :
       {"WARNING: failed to allocate 100.00 MB of pinned memory",
        "warning: failed to mlock 4096-byte buffer (after previously locking 0 bytes): Cannot allocate "
        "memory",
        "srv  load: failed to allocate memory for prompt cache state: std::bad_alloc",
        "ggml_cuda_host_malloc: failed to allocate 16.00 MiB of pinned memory: out of memory"}) {
    CAPTURE(line);
    LlamaLog log;
    log.take(fmt::format("{}\n", line));
    CHECK(log.end() == LlamaEnd::unknown);
  }
}

TEST_CASE("an old mistake is not the last word after a crash without one") {
  LlamaLog log;
  log.take("srv  operator(): got exception: an error\n");
  for (int i = 0; i < 200; ++i)
    log.take(fmt::format("srv  done request: POST /completion 127.0.0.1 {}\n", i));
  CHECK(log.last_words() == "srv  done request: POST /completion 127.0.0.1 199");
}

TEST_CASE("words are valid UTF-8 and not too many") {
  LlamaLog log;
  log.take("error loading model: " + std::string(LlamaLog::words_bytes_max - 22, 'a') + "\xE2\x82\xAC\n");
  CHECK(log.last_words() == "error loading model: " + std::string(LlamaLog::words_bytes_max - 22, 'a'));
  log.take("model loaded\n: model loaded\nfailed to load model \xFF\x01!" + std::string(1 << 20, 'x'));
  CHECK(log.end() == LlamaEnd::unknown);  // the line's begin is not in the tail any more
  CHECK(log.last_words() == std::string(LlamaLog::words_bytes_max, 'x'));
  log.take("\nfailed to load model \xFF\x01!\n");
  CHECK(log.last_words() == "failed to load model \xEF\xBF\xBD!");
}

}  // namespace
}  // namespace ggufd::engine
