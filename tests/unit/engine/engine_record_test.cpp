// Real processes are recorded, left behind and ended.
#include "engine/engine_record.h"

#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/engine/engine_record_support.h"

namespace ggufd::engine {
namespace {

using loop::test::Lifeline;
using test::LeftBehind;
using test::RuntimeFolder;
using test::value_of;

TEST_CASE("a running engine is recorded by what the kernel says of it") {
  const RuntimeFolder runtime;
  const LeftBehind engine;
  runtime.record(engine);
  CHECK(runtime.names() == std::vector<std::string>{".m.engine"});
  struct stat info{};
  REQUIRE(lstat(runtime.file.c_str(), &info) == 0);
  CHECK(S_ISREG(info.st_mode));
  CHECK((info.st_mode & 07777) == 0600);
  const std::string text = runtime.text();
  CHECK(value_of(text, "pid") == std::to_string(engine.pid()));
  CHECK(value_of(text, "session") == std::to_string(engine.pid()));
  std::ifstream stat_file(fmt::format("/proc/{}/stat", engine.pid()));
  std::string field;
  for (int number = 1; number <= 22; ++number) stat_file >> field;
  CHECK(value_of(text, "start_ticks") == field);
  std::ifstream boot_file("/proc/sys/kernel/random/boot_id");
  boot_file >> field;
  CHECK(value_of(text, "boot_id") == field);
}

TEST_CASE("the record is for its owner only and whole, whatever the umask, and replaces what is there") {
  const RuntimeFolder runtime;
  const LeftBehind engine;
  runtime.put("something older and longer: " + std::string(1000, 'x'));
  std::ofstream(runtime.folder.file(".m.engine.new")) << "left over by a crash";
  mode_t mask = 0;
  SUBCASE("0") {}
  SUBCASE("0777") {
    mask = 0777;
  }
  const mode_t before = umask(mask);
  runtime.record(engine);
  umask(before);
  struct stat info{};
  REQUIRE(lstat(runtime.file.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0600);
  CHECK(value_of(runtime.text(), "pid") == std::to_string(engine.pid()));
  CHECK(runtime.text().size() < 200);
  CHECK(runtime.names() == std::vector<std::string>{".m.engine"});
}

TEST_CASE("what is no engine of ours is not recorded") {
  const RuntimeFolder runtime;
  const auto refused = [&](std::string_view model, pid_t pid, ErrorCode code) {
    const auto recorded = record_engine(runtime.path, model, pid);
    REQUIRE_FALSE(recorded.has_value());
    CHECK(recorded.error().code == code);
    CHECK(runtime.names().empty());
  };
  LeftBehind engine;
  const LeftBehind member("echo up; exec sleep 600", false);
  SUBCASE("a process of our session") {
    refused("m", member.pid(), ErrorCode::engine_failed);
  }
  SUBCASE("ourselves, and numbers that mean others") {
    for (const pid_t pid : {getpid(), getsid(0), getppid(), 1, 0, -1})
      refused("m", pid, ErrorCode::engine_failed);
  }
  SUBCASE("a process that has gone") {
    const pid_t pid = engine.pid();
    kill(pid, SIGKILL);
    engine.reap();
    refused("m", pid, ErrorCode::engine_failed);
  }
  SUBCASE("a name that leads elsewhere") {
    for (const char* name : {"", "../m", "a/b", ".m", "."}) refused(name, engine.pid(), ErrorCode::internal);
  }
}

TEST_CASE("a record that cannot be written is an error that names it") {
  const RuntimeFolder runtime;
  const LeftBehind engine;
  SUBCASE("no such folder") {
    const auto recorded = record_engine(runtime.path + "/none", "m", engine.pid());
    REQUIRE_FALSE(recorded.has_value());
    CHECK(recorded.error().code == ErrorCode::io);
    CHECK(recorded.error().message.find(runtime.path + "/none") != std::string::npos);
  }
  SUBCASE("a folder in its place") {
    std::filesystem::create_directory(runtime.file);
    const auto recorded = record_engine(runtime.path, "m", engine.pid());
    REQUIRE_FALSE(recorded.has_value());
    CHECK(recorded.error().message.find(runtime.file) != std::string::npos);
    CHECK(runtime.names() == std::vector<std::string>{".m.engine"});
  }
}

TEST_CASE("an engine that has ended is forgotten, and only that one") {
  const RuntimeFolder runtime;
  const LeftBehind engine;
  runtime.record(engine, "m");
  runtime.record(engine, "other");
  forget_engine(runtime.path, "m");
  CHECK(runtime.names() == std::vector<std::string>{".other.engine"});
  forget_engine(runtime.path, "m");
  forget_engine(runtime.path, "../" + std::filesystem::path(runtime.path).filename().string() + "/.other");
  forget_engine(runtime.path + "/none", "m");
  CHECK(runtime.names() == std::vector<std::string>{".other.engine"});
}

TEST_CASE("engines that were left are ended, and a sentence names each") {
  const RuntimeFolder runtime;
  LeftBehind first;
  LeftBehind second;
  const LeftBehind not_recorded;
  runtime.record(first, "qwen3-4b");
  runtime.record(second, "bge.m3");
  const auto sentences = end_left_engines(runtime.path);
  REQUIRE(sentences.size() == 2);
  CHECK(sentences[0].find("bge.m3") != std::string::npos);
  CHECK(sentences[0].find(std::to_string(second.pid())) != std::string::npos);
  CHECK(sentences[1].find("qwen3-4b") != std::string::npos);
  CHECK(sentences[1].find(std::to_string(first.pid())) != std::string::npos);
  CHECK(first.was_killed());
  CHECK(second.was_killed());
  CHECK(not_recorded.runs());
  CHECK(runtime.names().empty());
  CHECK(end_left_engines(runtime.path).empty());
}

TEST_CASE("all of an engine's session is ended, in whichever group, and nobody else's") {
  const RuntimeFolder runtime;
  Lifeline session;
  // A child in its group, one in a group of its own that ignores what can be ignored, and one that has left.
  LeftBehind engine(R"(
    set -m
    sh -c 'trap "" TERM INT HUP; sleep 600 & wait' &
    set +m
    sleep 600 &
    setsid sh -c 'echo $$; exec sleep 600' &
    while :; do wait; done)");
  session.let_go();
  const pid_t stranger = std::atoi(engine.said().c_str());
  REQUIRE(stranger > 1);
  REQUIRE(getsid(stranger) == stranger);
  REQUIRE(engine.others().size() >= 2);
  runtime.record(engine);
  CHECK(end_left_engines(runtime.path).size() == 1);
  CHECK(engine.was_killed());
  CHECK(getsid(stranger) == stranger);
  kill(stranger, SIGKILL);
  CHECK(session.all_ended());
}

TEST_CASE("a session that goes on starting others is ended too") {
  const RuntimeFolder runtime;
  Lifeline all;
  std::string script;
  SUBCASE("its leader does, as fast as it can") {
    script = "sleep 60 & echo up; while :; do sleep 60 & done";
  }
  SUBCASE("all of its members do") {
    script = "breed() { while :; do sleep 0.01 & sleep 0.002; done; }; breed & breed & echo up; breed";
  }
  LeftBehind engine(script);
  all.let_go();
  runtime.record(engine);
  const loop::test::Stopwatch watch;
  const auto sentences = end_left_engines(runtime.path);
  REQUIRE(sentences.size() == 1);
  CHECK(sentences[0].starts_with("killed the engine of m "));
  CHECK(watch.elapsed_ms() < left_engines_wait_ms / 2);
  CHECK(all.all_ended());
  CHECK(engine.was_killed());
}

TEST_CASE("an engine that has ended but was not reaped still proves whose session it is") {
  const RuntimeFolder runtime;
  Lifeline all;
  LeftBehind engine("sleep 600 & echo up; exec true");
  all.let_go();
  engine.wait_for_end();
  REQUIRE(engine.others().size() == 1);
  runtime.record(engine);
  CHECK(end_left_engines(runtime.path).size() == 1);
  CHECK(all.all_ended());
  CHECK(runtime.names().empty());
  CHECK(WEXITSTATUS(engine.reap()) == 0);
}

TEST_CASE("of an engine that has ended only the record is left, and goes without a word") {
  const RuntimeFolder runtime;
  LeftBehind engine;
  runtime.record(engine);
  kill(engine.pid(), SIGKILL);
  SUBCASE("reaped") {
    engine.reap();
  }
  SUBCASE("not reaped") {
    engine.wait_for_end();
  }
  CHECK(end_left_engines(runtime.path).empty());
  CHECK(runtime.names().empty());
}

}  // namespace
}  // namespace ggufd::engine
