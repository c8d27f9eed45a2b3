// What builds print of themselves, and where a binary is found.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>

#include "engine/llama_probe.h"
#include "tests/unit/engine/llama_build_support.h"
#include "tests/unit/loop/support.h"

namespace ggufd::engine {
namespace {

using namespace test;
using loop::test::TempFolder;

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

}  // namespace
}  // namespace ggufd::engine
