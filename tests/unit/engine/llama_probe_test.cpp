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

#include "tests/unit/engine/llama_build_support.h"
#include "tests/unit/loop/support.h"

namespace ggufd::engine {
namespace {

using namespace test;
using loop::Loop;
using loop::test::has_children;
using loop::test::run_until;
using loop::test::Stopwatch;
using loop::test::TempFolder;
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
