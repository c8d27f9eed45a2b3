#include "engine/llama_probe.h"

#include <doctest/doctest.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/unit/loop/support.h"

namespace ggufd::engine {
namespace {

using loop::Loop;
using loop::test::has_children;
using loop::test::run_until;
using loop::test::Stopwatch;
using loop::test::TempFolder;

// Parts of what builds print, as llama.cpp's common/arg.cpp lays it out: b4753 of February 2025, and one of
// July 2026.
constexpr std::string_view old_version =
    "version: 4753 (c392e509)\nbuilt with cc (Debian 12.2.0-14) 12.2.0 for x86_64-linux-gnu\n";
constexpr std::string_view old_help = R"(----- common params -----

-h,    --help, --usage                  print usage and exit
--version                               show version and build info
-c,    --ctx-size N                     size of the prompt context (default: 4096, 0 = loaded from model)
                                        (env: LLAMA_ARG_CTX_SIZE)
-ctk,  --cache-type-k TYPE              KV cache data type for K
                                        allowed values: f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0, q5_1
                                        (default: f16)
                                        (env: LLAMA_ARG_CACHE_TYPE_K)
--mlock                                 force system to keep model in RAM rather than swapping or compressing
                                        (env: LLAMA_ARG_MLOCK)
--no-mmap                               do not memory-map model (slower load but may reduce pageouts if not
                                        using mlock)
                                        (env: LLAMA_ARG_NO_MMAP)
-ngl,  --gpu-layers, --n-gpu-layers N   number of layers to store in VRAM
                                        (env: LLAMA_ARG_N_GPU_LAYERS)
-m,    --model FNAME                    model path (default: `models/$filename` with filename from `--hf-file`
                                        or `--model-url` if set, otherwise models/7B/ggml-model-f16.gguf)
                                        (env: LLAMA_ARG_MODEL)
-lv,   --verbosity, --log-verbosity N   Set the verbosity threshold. Messages with a higher verbosity will be
                                        ignored.
                                        (env: LLAMA_LOG_VERBOSITY)


----- sampling params -----

--samplers SAMPLERS                     samplers that will be used for generation in the order, separated by
                                        ';'


----- example-specific params -----

--no-warmup                             skip warming up the model with an empty run
--host HOST                             ip address to listen (default: 127.0.0.1)
                                        (env: LLAMA_ARG_HOST)
--port PORT                             port to listen (default: 8080)
                                        (env: LLAMA_ARG_PORT)
--no-webui                              Disable the Web UI (default: enabled)
                                        (env: LLAMA_ARG_NO_WEBUI)
--metrics                               enable prometheus compatible metrics endpoint (default: disabled)
                                        (env: LLAMA_ARG_ENDPOINT_METRICS)
--slots                                 enable slots monitoring endpoint (default: disabled)
                                        (env: LLAMA_ARG_ENDPOINT_SLOTS)
--slot-save-path PATH                   path to save slot kv cache (default: disabled), e.g. my.sock
)";

constexpr std::string_view new_version =
    "ggml_cuda_init: found 1 CUDA devices:\n  Device 0: NVIDIA L4, compute capability 8.9, VMM: yes\n"
    "version: 9963 (dc02e1f83)\nbuilt with GNU 12.2.0 for Linux x86_64\n";
constexpr std::string_view new_help = R"(load_backend: loaded CPU backend from /opt/llama/libggml-cpu.so
----- common params -----

-h,    --help, --usage                  print usage and exit
--mmap, --no-mmap                       whether to memory-map model. (if mmap disabled, slower load but may
                                        reduce pageouts if not using mlock) (default: enabled)
                                        (env: LLAMA_ARG_MMAP)
-dio,  --direct-io, -ndio, --no-direct-io
                                        use DirectIO if available. (default: disabled)
                                        (env: LLAMA_ARG_DIO)
-lm,   --load-mode MODE                 how the model's file is read, instead of --no-such-flag
-m,    --model FNAME                    model path to load
                                        (env: LLAMA_ARG_MODEL)
-lv,   --verbosity, --log-verbosity N   Set the verbosity threshold. Messages with a higher verbosity will be
                                        ignored. Values:
                                        - 0: generic output
                                        - 3: info
                                        (default: 3)

                                        (env: LLAMA_ARG_LOG_VERBOSITY)


----- example-specific params -----

-kvu,  --kv-unified, -no-kvu, --no-kv-unified
                                        use single unified KV buffer shared across all sequences (default:
                                        enabled if number of slots is auto)
                                        (env: LLAMA_ARG_KV_UNIFIED)
--host HOST                             ip address to listen, or bind to an UNIX socket if the address ends
                                        with .sock (default: 127.0.0.1)
                                        (env: LLAMA_ARG_HOST)
--port PORT                             port to listen (default: 8080)
                                        (env: LLAMA_ARG_PORT)
--slots, --no-slots                     expose slots monitoring endpoint (default: enabled)
                                        (env: LLAMA_ARG_ENDPOINT_SLOTS)
)";

TEST_CASE("a build of February 2025: ports only, old flags") {
  const auto build = parse_llama_build(old_version, old_help);
  REQUIRE(build.has_value());
  CHECK(build->number == 4753);
  CHECK(build->version == "4753 (c392e509)");
  CHECK_FALSE(build->has_unix_sockets);  // though another flag's entry says ".sock"
  for (const char* flag : {"-h", "--usage", "-c", "--ctx-size", "--cache-type-k", "--mlock", "--no-mmap",
                           "-ngl", "--gpu-layers", "--n-gpu-layers", "--log-verbosity", "--slots",
                           "--metrics", "--no-webui", "--no-warmup", "--samplers"}) {
    CAPTURE(flag);
    CHECK(build->has(flag));
  }
  // Those are in descriptions.
  for (const char* flag : {"--hf-file", "--model-url", "--mmap", "--load-mode", "--kv-unified", "N", "TYPE",
                           "-----", "common"}) {
    CAPTURE(flag);
    CHECK_FALSE(build->has(flag));
  }
}

TEST_CASE("a build of 2026: Unix sockets, negations, entries that go on in the next line") {
  const auto build = parse_llama_build(new_version, new_help);
  REQUIRE(build.has_value());
  CHECK(build->number == 9963);
  CHECK(build->version == "9963 (dc02e1f83)");
  CHECK(build->has_unix_sockets);
  for (const char* flag : {"--mmap", "--no-mmap", "-dio", "--no-direct-io", "-lm", "--load-mode", "-kvu",
                           "--kv-unified", "-no-kvu", "--no-kv-unified", "--no-slots"}) {
    CAPTURE(flag);
    CHECK(build->has(flag));
  }
  CHECK_FALSE(build->has("--no-such-flag"));
  CHECK_FALSE(build->has("-"));
}

TEST_CASE("a build that tells no version it knows still counts") {
  for (const char* version : {"", "version: unknown\n", "llama-server 1.2\n", "versions: 3 (a)\n"}) {
    CAPTURE(version);
    const auto build = parse_llama_build(version, new_help);
    REQUIRE(build.has_value());
    CHECK(build->number == 0);
  }
  CHECK(parse_llama_build("version: 9963", new_help)->number == 9963);
  CHECK(parse_llama_build("version: 9963 (a)\r\n", new_help)->version == "9963 (a)");
}

TEST_CASE("what is not a llama-server's help is refused") {
  for (const std::string_view help : {"", "Usage: cat [OPTION]... [FILE]...\n  --model\n",
                                      "-m, --model M\n--host H\n", "--\n-\n,\n-,\n- ,\n"}) {
    CAPTURE(help);
    const auto build = parse_llama_build(new_version, help);
    REQUIRE_FALSE(build.has_value());
    CHECK(build.error().code == ErrorCode::engine_failed);
  }
}

std::string make_file(const std::string& path, std::string_view text, unsigned mode = 0755) {
  std::ofstream(path) << text;
  REQUIRE(chmod(path.c_str(), mode) == 0);
  return path;
}

TEST_CASE("a name is found in the first folder of PATH that has it as a program") {
  TempFolder folder;
  for (const char* name : {"a", "b", "c", "d"}) std::filesystem::create_directory(folder.file(name));
  make_file(folder.file("a/llama-server"), "not executable", 0644);
  std::filesystem::create_directory(folder.file("b/llama-server"));
  make_file(folder.file("c/llama-server"), "#!/bin/sh\n");
  make_file(folder.file("d/llama-server"), "#!/bin/sh\n");
  const std::string path = fmt::format("::bin:{}:{}:{}:{}", folder.file("a"), folder.file("b"),
                                       folder.file("c"), folder.file("d"));
  CHECK(find_llama_server("llama-server", path) == folder.file("c/llama-server"));
  CHECK(find_llama_server(folder.file("d/llama-server"), path) == folder.file("d/llama-server"));
}

TEST_CASE("a binary that is not there is engine_not_found, with what to do") {
  TempFolder folder;
  const auto by_name = find_llama_server("llama-server", folder.file("a") + ":" + folder.file("b"));
  REQUIRE_FALSE(by_name.has_value());
  CHECK(by_name.error().code == ErrorCode::engine_not_found);
  for (const auto& part :
       {std::string("llama-server"), folder.file("a"), std::string("llama_server.binary")}) {
    CHECK(by_name.error().message.find(part) != std::string::npos);
  }
  CHECK(find_llama_server("llama-server", "").error().code == ErrorCode::engine_not_found);
  make_file(folder.file("plain"), "", 0644);
  for (const auto& path : {folder.file("absent"), folder.file("plain"), folder.file(".")}) {
    const auto by_path = find_llama_server(path, "/bin");
    REQUIRE_FALSE(by_path.has_value());
    CHECK(by_path.error().code == ErrorCode::engine_not_found);
    CHECK(by_path.error().message.find(path) != std::string::npos);
  }
}

// A probe, and programs for it: scripts that note each run.
struct Scene {
  explicit Scene(std::vector<std::string> environment = {"PATH=/usr/bin:/bin"})
      : probe(loop, std::move(environment)) {}

  std::string program(std::string_view script) const {
    return make_file(folder.file("llama-server"),
                     fmt::format("#!/bin/sh\necho run >>{}\n{}\n", folder.file("runs"), script));
  }
  // One that prints these.
  std::string printer(std::string_view version, std::string_view help) const {
    make_file(folder.file("version"), version, 0644);
    make_file(folder.file("help"), help, 0644);
    return program(fmt::format("case $1 in --version) cat {} >&2;; --help) cat {};; esac",
                               folder.file("version"), folder.file("help")));
  }
  std::size_t runs() const {
    std::ifstream file(folder.file("runs"));
    return static_cast<std::size_t>(std::count(std::istreambuf_iterator<char>(file), {}, '\n'));
  }
  void start(const std::string& path) {
    outcome.reset();
    operation = probe.probe(path, [this](Result<LlamaBuild> result) {
      ++calls;
      outcome = std::move(result);
    });
    CHECK_FALSE(outcome.has_value());
  }
  const Result<LlamaBuild>& ask(const std::string& path) {
    start(path);
    REQUIRE(run_until(loop, [this] { return outcome.has_value(); }));
    return *outcome;
  }

  TempFolder folder;
  Loop loop;
  LlamaProbe probe;
  std::optional<Result<LlamaBuild>> outcome;
  int calls = 0;
  loop::OperationPtr operation;
};

TEST_CASE("a program is asked once for as long as its file stays the same") {
  Scene scene;
  const std::string path = scene.printer(new_version, new_help);
  REQUIRE(scene.ask(path).has_value());
  CHECK(scene.outcome->value().number == 9963);
  CHECK(scene.runs() == 2);
  REQUIRE(scene.ask(path).has_value());
  CHECK(scene.outcome->value().has_unix_sockets);
  CHECK(scene.runs() == 2);
  SUBCASE("under another name too") {
    std::filesystem::create_symlink(path, scene.folder.file("link"));
    REQUIRE(scene.ask(scene.folder.file("link")).has_value());
    CHECK(scene.runs() == 2);
  }
  SUBCASE("another one in its place is asked again") {
    std::filesystem::rename(path, scene.folder.file("before"));
    scene.printer(old_version, old_help);
    REQUIRE(scene.ask(path).has_value());
    CHECK(scene.outcome->value().number == 4753);
    CHECK(scene.runs() == 4);
  }
  SUBCASE("one that was written to is asked again") {
    std::ofstream(path, std::ios::app) << "# more\n";
    REQUIRE(scene.ask(path).has_value());
    CHECK(scene.runs() == 4);
  }
}

TEST_CASE("failures are told with what the program said, and not remembered") {
  Scene scene;
  struct Case {
    std::string_view script;
    std::string_view told;
  };
  for (const Case& given :
       {Case{"echo 'error while loading shared libraries: libcuda.so.1' >&2; exit 127", "libcuda.so.1"},
        Case{"echo 'Usage: something else'", "is no llama-server"}, Case{"kill -ILL $$", "signal 4"},
        Case{"exit 3", "exit code 3; it printed nothing"}}) {
    CAPTURE(given.script);
    const std::string path = scene.program(given.script);
    const auto& outcome = scene.ask(path);
    REQUIRE_FALSE(outcome.has_value());
    CHECK(outcome.error().code == ErrorCode::engine_failed);
    CHECK(outcome.error().message.find(given.told) != std::string::npos);
    CHECK(outcome.error().message.find(path) != std::string::npos);
  }
  REQUIRE(scene.ask(scene.printer(new_version, new_help)).has_value());
}

TEST_CASE("a file that is not there, or no program") {
  Scene scene;
  CHECK(scene.ask(scene.folder.file("absent")).error().code == ErrorCode::engine_not_found);
  CHECK(scene.ask(make_file(scene.folder.file("plain"), "x", 0644)).error().code == ErrorCode::engine_failed);
  CHECK_FALSE(has_children());
}

TEST_CASE("a program that does not answer is given up after the limit") {
  Scene scene;
  const std::string path = scene.program("trap '' TERM; echo thinking; sleep 600");
  const Stopwatch watch;
  const auto& outcome = scene.ask(path);
  REQUIRE_FALSE(outcome.has_value());
  CHECK(outcome.error().code == ErrorCode::engine_failed);
  CHECK(outcome.error().message.find("within 5 s; it printed: thinking") != std::string::npos);
  CHECK(watch.elapsed_ms() >= static_cast<std::int64_t>(LlamaProbe::limit_ms) - 1);
  scene.loop.run();
  CHECK(scene.calls == 1);
  CHECK_FALSE(has_children());
}

TEST_CASE("a program that says very much is heard to the end, and little of it kept") {
  Scene scene;
  CHECK(scene.ask(scene.program("head -c 5000000 /dev/zero")).error().code == ErrorCode::engine_failed);
}

TEST_CASE("cancelling a probe ends it with cancelled, later, once, and its programs with it") {
  Scene scene;
  scene.start(scene.program("echo up; exec sleep 600"));
  scene.operation->cancel();
  scene.operation->cancel();
  CHECK_FALSE(scene.outcome.has_value());
  scene.loop.run();
  REQUIRE(scene.outcome.has_value());
  CHECK(scene.outcome->error().code == ErrorCode::cancelled);
  CHECK_FALSE(has_children());
  scene.operation->cancel();
  scene.loop.run();
  CHECK(scene.calls == 1);
}

TEST_CASE("destroying a probe drops its callback") {
  Scene scene;
  SUBCASE("while it runs") {
    scene.start(scene.program("exec sleep 600"));
  }
  SUBCASE("when the answer is known") {
    const std::string path = scene.printer(new_version, new_help);
    REQUIRE(scene.ask(path).has_value());
    scene.calls = 0;
    scene.start(path);
  }
  scene.operation.reset();
  scene.loop.run();
  CHECK(scene.calls == 0);
  CHECK_FALSE(has_children());
}

TEST_CASE("the callback may destroy the probe's operation") {
  Scene scene;
  const std::string path = scene.printer(new_version, new_help);
  for (int i = 0; i < 2; ++i) {
    bool is_told = false;
    loop::OperationPtr operation;
    operation = scene.probe.probe(path, [&](Result<LlamaBuild>) {
      operation.reset();
      is_told = true;
    });
    scene.loop.run();
    CHECK(is_told);
  }
}

// The moods of tests/support/fake_llama_server.py, which prints what whole builds print.
TEST_CASE("the fake llama-server's builds are told apart") {
  struct Case {
    const char* mood;
    std::int64_t number;
    bool has_unix_sockets;
    bool has_load_mode;
  };
  for (const Case& given : {Case{"", 9963, true, false}, Case{"old", 4753, false, false},
                            Case{"load_mode,cuda", 9963, true, true}, Case{"no_unix", 9963, false, false},
                            Case{"bad_version", 0, true, false}}) {
    CAPTURE(given.mood);
    const char* path_variable = std::getenv("PATH");
    Scene scene({fmt::format("PATH={}", path_variable == nullptr ? "/usr/bin:/bin" : path_variable),
                 fmt::format("GGML_FAKE_MOOD={}", given.mood)});
    const auto& outcome = scene.ask(GGUFD_SOURCE_DIR "/tests/support/fake_llama_server.py");
    REQUIRE(outcome.has_value());
    CHECK(outcome->number == given.number);
    CHECK(outcome->has_unix_sockets == given.has_unix_sockets);
    CHECK(outcome->has("--load-mode") == given.has_load_mode);
    CHECK(outcome->has("--no-mmap"));
    CHECK(outcome->has("--no-slots"));
    CHECK(outcome->has("--kv-unified") == (given.number != 4753));
  }
}

}  // namespace
}  // namespace ggufd::engine
