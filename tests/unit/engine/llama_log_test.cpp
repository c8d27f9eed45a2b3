#include "engine/llama_log.h"

#include <doctest/doctest.h>
#include <fmt/core.h>

#include <string>
#include <string_view>

#include "engine/log_text.h"

namespace ggufd::engine {
namespace {

constexpr std::uint64_t mib = 1 << 20;

// Loads as llama.cpp's server logs them: that of February 2025, and that of July 2026 at --verbosity 4.
constexpr std::string_view old_load = R"(build: 4753 (c392e509) with GNU 12.2.0 for Linux x86_64
system info: n_threads = 2, n_threads_batch = 2, total_threads = 2

main: HTTP server is listening, hostname: 127.0.0.1, port: 40123, http threads: 3
main: loading model
srv    load_model: loading model '/proc/self/fd/3'
llama_model_load_from_file_impl: using device CUDA0 (NVIDIA L4) - 22300 MiB free
print_info: arch             = llama
load_tensors: loading model tensors, this can take a while... (mmap = true)
load_tensors: offloading 28 repeating layers to GPU
load_tensors: offloading output layer to GPU
load_tensors: offloaded 29/29 layers to GPU
load_tensors:        CUDA0 model buffer size =  1834.82 MiB
load_tensors:   CPU_Mapped model buffer size =   308.23 MiB
....................................................................................................
llama_init_from_model: n_ctx         = 8192
llama_kv_cache_init:      CUDA0 KV buffer size =   896.00 MiB
llama_init_from_model: KV self size  =  896.00 MiB, K (f16):  448.00 MiB, V (f16):  448.00 MiB
llama_init_from_model:      CUDA0 compute buffer size =   304.00 MiB
common_init_from_params: warming up the model with an empty run - please wait ... (--no-warmup to disable)
main: model loaded
main: server is listening on http://127.0.0.1:40123 - starting the main loop
srv  update_slots: all slots are idle
)";
constexpr std::string_view new_load =
    R"(0.00.010.531 I cmn  common_param: common_params_print_info: verbosity = 4 (adjust with the `-lv N` CLI arg)
0.00.010.555 I cmn  common_param: device_info:
0.00.010.586 I cmn  common_param:   - CPU     : AMD EPYC (24105 MiB, 24105 MiB free)
cmd_child_to_router:state:{"state":"loading","payload":{"stages":["text_model"],"current":"text_model","value":0.0}}
0.00.012.615 I srv    load_model: loading model '/proc/self/fd/3'
0.00.015.623 I print_info: n_ctx_train           = 2048
0.00.015.663 I load_tensors: loading model tensors, this can take a while... (mmap = true, direct_io = false)
0.00.016.133 I load_tensors:   CPU_Mapped model buffer size =     0.17 MiB
cmd_child_to_router:state:{"state":"loading","payload":{"stages":["text_model"],"current":"text_model","value":1.0}}
0.00.016.758 W llama_context: n_ctx_seq (8192) > n_ctx_train (2048) -- possible training context overflow
0.00.016.769 I llama_context:        CPU  output buffer size =     0.00 MiB
0.00.017.196 I llama_kv_cache:        CPU KV buffer size =     2.00 MiB
0.00.018.691 I llama_kv_cache: size =    2.00 MiB (  8192 cells,   2 layers,  1/1 seqs), K (f16):    1.00 MiB, V (f16):    1.00 MiB
0.00.022.616 I sched_reserve:        CPU compute buffer size =     9.01 MiB
0.00.022.702 I cmn  common_init_: warming up the model with an empty run - please wait ... (--no-warmup to disable)
0.00.847.293 I srv          init: init: chat template, thinking = 0
0.00.847.320 I srv  llama_server: model loaded
0.00.847.328 I srv  llama_server: listening on unix:///run/ggufd/engine.sock
cmd_child_to_router:state:{"state":"ready","payload":{"id":"x","aliases":["x"],"tags":[],"object":"model","created":1795300515,"owned_by":"llamacpp","meta":{"vocab_type":1,"n_vocab":512,"n_ctx":2048,"n_ctx_train":2048,"n_embd":64,"n_params":139584,"size":179968,"ftype":"Q8_0"}}}
)";

LlamaLog log_of(std::string_view output) {
  LlamaLog log;
  log.take(output);
  return log;
}

TEST_CASE("a build of February 2025 with a graphics card") {
  const LlamaLog log = log_of(old_load);
  LlamaSaid expected;
  expected.port = 40123;
  expected.loaded_percent = 100;
  expected.uses_mmap = true;
  expected.model_buffer_bytes = 2247150796;  // 1834.82 MiB and 308.23 MiB
  expected.kv_buffer_bytes = 896 * mib;
  expected.offloaded_layers = 29;
  expected.layers = 29;
  expected.accelerator = Accelerator::cuda;
  expected.device_name = "NVIDIA L4";
  expected.warms_up = true;
  CHECK(log.said() == expected);
  CHECK(log.end() == LlamaEnd::unknown);
}

TEST_CASE("a build of July 2026 without one, on a Unix socket") {
  const LlamaLog log = log_of(new_load);
  LlamaSaid expected;
  expected.loaded_percent = 100;
  expected.uses_mmap = true;
  expected.model_buffer_bytes = 178258;  // 0.17 MiB
  expected.kv_buffer_bytes = 2 * mib;
  expected.thinks = false;
  expected.warms_up = true;
  CHECK(log.said() == expected);
}

TEST_CASE("recurrent state is counted with the cache, thinking is told") {
  const LlamaLog log = log_of(
      "0.01.234.567 I llama_kv_cache:        CPU KV buffer size =   896.00 MiB\n"
      "0.01.234.700 I llama_memory_recurrent:        CPU RS buffer size =     0.50 MiB\n"
      "0.01.400.100 I srv          init: init: chat template, thinking = 1\n");
  CHECK(log.said().kv_buffer_bytes == 896 * mib + mib / 2);
  CHECK(log.said().thinks == true);
}

TEST_CASE("whatever the pieces, the same is read, and take() tells each change") {
  for (const std::string_view whole : {old_load, new_load}) {
    const LlamaSaid expected = log_of(whole).said();
    for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{1000}}) {
      LlamaLog log;
      for (std::size_t i = 0; i < whole.size(); i += piece) {
        const LlamaSaid before = log.said();
        const bool has_changed = log.take(whole.substr(i, piece));
        CHECK(has_changed == (log.said() != before));
      }
      CHECK(log.said() == expected);
      CHECK(log.tail(1 << 20) == whole);
    }
  }
}

TEST_CASE("lines with Windows' ends, colours or without a level are read as well") {
  LlamaLog log;
  log.take("0.01.234.567 load_tensors:   CPU_Mapped model buffer size =     1.00 MiB\r\n");
  log.take("\x1B[34m0.00.035.060\x1B[0m \x1B[32mI \x1B[0mload_tensors: offloaded 3/4 layers to GPU\n");
  log.take("\x1B[0m\x1B[34m1.00.035.060\x1B[0m \x1B[32mI \x1B[0msrv  main: model loaded\r\n");
  CHECK(log.said().model_buffer_bytes == mib);
  CHECK(log.said().uses_mmap == true);
  CHECK(log.said().offloaded_layers == 3);
  CHECK_FALSE(log.take("load_tensors:   CPU model buffer size =     1.00 MiB\n"));  // it is loaded
}

TEST_CASE("stamps") {
  CHECK(without_stamp("0.01.234.567 I text") == "text");
  CHECK(without_stamp("123.59.999.999 E text") == "text");
  CHECK(without_stamp("0.01.234.567 text") == "text");
  CHECK(without_stamp("0.01.234.567 Is text") == "Is text");
  for (const std::string_view line : {"", "0.01.234.567", "0.01.234 I text", "I text", "1.2.3.4.5 text",
                                      " 0.01.234.567 I text", "4294967296.01.234.567 I text"}) {
    CAPTURE(line);
    CHECK(without_stamp(line) == line);
  }
}

// --- How far it is

TEST_CASE("dots are percents while they come, once the weights are announced") {
  LlamaLog log;
  CHECK_FALSE(log.take("......\n"));
  log.take("load_tensors: loading model tensors, this can take a while... (mmap = false)\n");
  CHECK(log.said().uses_mmap == false);
  CHECK_FALSE(log.said().loaded_percent.has_value());
  CHECK(log.take("..."));
  CHECK(log.said().loaded_percent == 3);
  CHECK_FALSE(log.take(""));
  CHECK(log.take("."));
  CHECK(log.said().loaded_percent == 4);
  SUBCASE("another line between them") {
    log.take("ggml_backend_load: something\n.");
    CHECK(log.said().loaded_percent == 5);
    log.take("\n");
    CHECK(log.said().loaded_percent == 5);
  }
  SUBCASE("a draft model's come again, and there are never more than 100") {
    log.take(std::string(96, '.') + "\n");
    CHECK(log.said().loaded_percent == 100);
    CHECK_FALSE(log.take(std::string(250, '.')));
    CHECK_FALSE(
        log.take("\nload_tensors: loading model tensors, this can take a while... (mmap = false)\n..."));
    CHECK(log.said().loaded_percent == 100);
  }
  SUBCASE("a line that begins with dots is none that says percents") {
    log.take("\n0.00.000.001 I ......\n");
    CHECK(log.said().loaded_percent == 4);
  }
}

std::string router_line(std::string_view stage, std::string_view value,
                        std::string_view stages = R"("text_model")") {
  return fmt::format(
      "cmd_child_to_router:state:{{\"state\":\"loading\",\"payload\":{{\"stages\":[{}],\"current\":\"{}\","
      "\"value\":{}}}}}\n",
      stages, stage, value);
}

TEST_CASE("lines for a router are percents, and go before dots") {
  LlamaLog log;
  log.take("load_tensors: loading model tensors, this can take a while... (mmap = true)\n..");
  CHECK_FALSE(log.take(router_line("text_model", "0.019")));  // never falls
  CHECK(log.said().loaded_percent == 2);
  log.take(router_line("text_model", "0.999"));
  CHECK(log.said().loaded_percent == 99);
  CHECK_FALSE(log.take("......"));
  CHECK_FALSE(log.take("\n" + router_line("text_model", "0.5")));
  CHECK_FALSE(log.take("......"));
  log.take(router_line("text_model", "1"));
  CHECK(log.said().loaded_percent == 100);
}

TEST_CASE("stages share the percents, each in its turn") {
  constexpr std::string_view stages = R"("text_model","spec_model","mmproj_model","other")";
  LlamaLog log;
  log.take(router_line("text_model", "0.0", stages));
  CHECK(log.said().loaded_percent == 0);
  // The projector is measured before the model is loaded.
  CHECK_FALSE(log.take(router_line("mmproj_model", "1.0", stages)));
  CHECK_FALSE(log.take(router_line("spec_model", "0.5", stages)));
  log.take(router_line("text_model", "1.0", stages));
  CHECK(log.said().loaded_percent == 25);
  CHECK_FALSE(log.take(router_line("mmproj_model", "0.5", stages)));
  log.take(router_line("spec_model", "0.5", stages));
  CHECK(log.said().loaded_percent == 37);
  CHECK_FALSE(log.take(router_line("mmproj_model", "0.5", stages)));
  log.take(router_line("spec_model", "1.0", stages));
  log.take(router_line("mmproj_model", "0.5", stages));
  CHECK(log.said().loaded_percent == 62);
}

TEST_CASE("lines for a router that are none are left alone") {
  LlamaLog log;
  for (const std::string& line :
       {router_line("text_model", "\"x\""), router_line("other", "0.5"),
        router_line("text_model", "0.5", "1"), router_line("text_model", "0.5", ""),
        std::string("cmd_child_to_router:state:\n"), std::string("cmd_child_to_router:state:[]\n"),
        std::string("cmd_child_to_router:state:{\"state\":1}\n"),
        std::string("cmd_child_to_router:state:{\"state\":\"ready\",\"payload\":{}}\n"),
        std::string(
            "cmd_child_to_router:state:{\"state\":\"loading\",\"payload\":{\"stage\":\"mmproj_model\"}}\n"),
        "x " + router_line("text_model", "0.5")}) {
    CAPTURE(line);
    CHECK_FALSE(log.take(line));
  }
  log.take(router_line("text_model", "-5"));
  CHECK(log.said().loaded_percent == 0);
  log.take(router_line("text_model", "1e300"));
  CHECK(log.said().loaded_percent == 100);
}

// --- What it says of itself

TEST_CASE("a port is taken from loopback only, and once") {
  for (const std::string_view line :
       {"main: HTTP server is listening, hostname: 0.0.0.0, port: 8080, http threads: 3",
        "srv  llama_server: listening on http://192.168.1.5:8080", "listening on http://127.0.0.1",
        "listening on http://127.0.0.1:0", "listening on http://127.0.0.1:70000",
        "listening on http://127.0.0.1:", "listening on unix:///run/127.0.0.1:80.sock"}) {
    CAPTURE(line);
    LlamaLog log;
    CHECK_FALSE(log.take(fmt::format("{}\n", line)));
  }
  LlamaLog log;
  log.take("0.01.400.350 I srv  llama_server: model loaded\n");
  log.take("0.01.400.350 I srv  llama_server: listening on http://127.0.0.1:65535\n");
  CHECK(log.said().port == 65535);
  CHECK_FALSE(log.take("listening on http://127.0.0.1:1\n"));
  CHECK(log_of("listening on http://[::1]:81 - starting the main loop\n").said().port == 81);
}

TEST_CASE("sizes that are garbled are not counted, and sums stay within reason") {
  for (const std::string_view size :
       {"", "12.34", "12.34 GiB", "12 MiB", "12.3 MiB", "12.345 MiB", "-1.00 MiB", "nan MiB",
        "99999999999999999999.00 MiB", "1073741824.00 MiB", ".50 MiB"}) {
    CAPTURE(size);
    CHECK_FALSE(log_of(fmt::format("load_tensors: CPU model buffer size = {}\n", size))
                    .said()
                    .model_buffer_bytes.has_value());
  }
  LlamaLog log;
  for (int i = 0; i < 5; ++i) log.take("load_tensors: CPU model buffer size = 1073741823.99 MiB\n");
  CHECK(log.said().model_buffer_bytes == std::uint64_t{1} << 50);
}

TEST_CASE("layers: the model's, not a draft model's after it, and only such as can be") {
  LlamaLog log;
  for (const std::string_view line : {"offloaded 5/3 layers to GPU", "offloaded x/3 layers to GPU",
                                      "offloaded 1/2 layers", "offloaded 1/4294967296 layers to GPU"}) {
    CHECK_FALSE(log.take(fmt::format("load_tensors: {}\n", line)));
  }
  log.take("load_tensors: offloaded 0/29 layers to GPU\nload_tensors: offloaded 7/7 layers to GPU\n");
  CHECK(log.said().offloaded_layers == 0);
  CHECK(log.said().layers == 29);
}

TEST_CASE("a line of megabytes is read up to its limit, and the next one whole") {
  LlamaLog log;
  log.take("load_tensors: CPU model buffer size = 1.00 MiB " + std::string(3 << 20, 'x'));
  log.take(" CPU model buffer size = 1.00 MiB\nload_tensors: offloaded 1/2 layers to GPU\n");
  CHECK(log.said().model_buffer_bytes == mib);
  CHECK(log.said().layers == 2);
  CHECK(log.tail(1 << 20) == "load_tensors: offloaded 1/2 layers to GPU\n");
}

TEST_CASE("bytes of any kind are no reason to stop reading") {
  std::string noise;
  for (int i = 0; i < 256 * 64; ++i) noise += static_cast<char>(i * 7);
  LlamaLog log;
  log.take(noise);
  log.take("\n" + std::string(old_load));
  CHECK(log.said() == log_of(old_load).said());
}

}  // namespace
}  // namespace ggufd::engine
