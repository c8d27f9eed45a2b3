// Records of which something is wrong: nobody is ended for them.
#include "engine/engine_record.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "tests/unit/engine/engine_record_support.h"

namespace ggufd::engine {
namespace {

using loop::test::TempFolder;
using test::LeftBehind;
using test::RuntimeFolder;
using test::value_of;
using test::with_value;

// A record that differs in one thing from that of a running engine, which must go on running.
TEST_CASE("a process that differs in one fact is not the engine") {
  const RuntimeFolder runtime;
  const LeftBehind engine;
  runtime.record(engine);
  const std::string good = runtime.text();
  const std::string ticks = value_of(good, "start_ticks");
  std::string text;
  SUBCASE("a later start: the number was another's") {
    text = with_value(good, "start_ticks", std::to_string(std::stoull(ticks) - 1));
  }
  SUBCASE("an earlier start") {
    text = with_value(good, "start_ticks", std::to_string(std::stoull(ticks) + 1));
  }
  SUBCASE("another boot") {
    std::string id = value_of(good, "boot_id");
    id.front() = id.front() == '0' ? '1' : '0';
    text = with_value(good, "boot_id", id);
  }
  SUBCASE("another session") {
    text = with_value(good, "session", std::to_string(engine.pid() + 1));
  }
  SUBCASE("our session") {
    text = with_value(good, "session", std::to_string(getsid(0)));
  }
  runtime.put(text);
  CHECK(end_left_engines(runtime.path).empty());
  CHECK(engine.runs());
  CHECK(runtime.names().empty());
  // It is that difference: without it, the engine would have been ended.
  runtime.put(good);
  CHECK(end_left_engines(runtime.path).size() == 1);
}

TEST_CASE("a process that does not lead its session is not the engine, whatever the record says") {
  const RuntimeFolder runtime;
  const LeftBehind engine("sleep 600 & echo $!; wait");
  const pid_t member = std::atoi(engine.said().c_str());
  REQUIRE(getsid(member) == engine.pid());
  runtime.record(engine);
  std::ifstream stat_file(fmt::format("/proc/{}/stat", member));
  std::string ticks;
  for (int number = 1; number <= 22; ++number) stat_file >> ticks;
  std::string text = with_value(runtime.text(), "start_ticks", ticks);
  text = with_value(text, "pid", std::to_string(member));
  SUBCASE("its true session") {}
  SUBCASE("its own number") {
    text = with_value(text, "session", std::to_string(member));
  }
  runtime.put(text);
  CHECK(end_left_engines(runtime.path).empty());
  CHECK(engine.runs());
  CHECK(engine.others() == std::vector<pid_t>{member});
  CHECK(runtime.names().empty());
}

TEST_CASE("a record that is odd is removed, and nobody is ended for it") {
  const RuntimeFolder runtime;
  const LeftBehind engine;
  runtime.record(engine);
  const std::string good = runtime.text();
  const std::string pid = std::to_string(engine.pid());
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  std::vector<std::string> odd = {"",
                                  "\n",
                                  "garbage",
                                  every_byte,
                                  pid,
                                  pid + "\n",
                                  std::string(1U << 20, 'x'),
                                  good + "\n",
                                  good + good,
                                  "\n" + good,
                                  " " + good,
                                  good + std::string(1, '\0'),
                                  good.substr(0, good.size() - 1),
                                  good + std::string(1U << 20, '\n')};
  for (std::size_t size = 0; size < good.size(); size += 7) odd.push_back(good.substr(0, size));
  for (const char* value : {"0", "1", "-1", "", " ", "abc", "2147483647", "2147483648",
                            "99999999999999999999", "0x10", "1e3", "+5"}) {
    for (const char* label : {"pid", "session", "start_ticks"}) odd.push_back(with_value(good, label, value));
    odd.push_back(with_value(with_value(good, "pid", value), "session", value));
  }
  for (const std::string& near :
       {"-" + pid, "0" + pid, "+" + pid, " " + pid, pid + " ", pid + "\r", pid + ".0"}) {
    odd.push_back(with_value(good, "pid", near));
    odd.push_back(with_value(with_value(good, "pid", near), "session", near));
  }
  for (const std::string& value :
       {std::string(), std::string("x"), std::string(36, '0'), value_of(good, "boot_id") + " "}) {
    odd.push_back(with_value(good, "boot_id", value));
  }
  odd.push_back(with_value(good, "ggufd", "engine 2"));
  odd.push_back(with_value(good, "ggufd", "engine 1\r"));
  for (const std::string& text : odd) {
    CAPTURE(text.substr(0, 200));
    runtime.put(text);
    CHECK(end_left_engines(runtime.path).empty());
    CHECK(runtime.names().empty());
    REQUIRE(engine.runs());
  }
}

TEST_CASE("a record that is no file of ours is removed where that can be, and believed in nothing") {
  const RuntimeFolder runtime;
  const TempFolder elsewhere;
  const LeftBehind engine;
  runtime.record(engine);
  const std::string good = runtime.text();
  const std::string real = elsewhere.file("record");
  std::vector<std::string> left;
  SUBCASE("a symbolic link") {
    std::filesystem::rename(runtime.file, real);
    std::filesystem::create_symlink(real, runtime.file);
  }
  SUBCASE("a second name of a file") {
    std::filesystem::rename(runtime.file, real);
    std::filesystem::create_hard_link(real, runtime.file);
  }
  SUBCASE("a link that leads nowhere") {
    std::filesystem::remove(runtime.file);
    std::filesystem::create_symlink("/nonexistent/x", runtime.file);
    std::ofstream(real) << "x";
  }
  SUBCASE("a pipe that nobody writes to") {
    std::filesystem::remove(runtime.file);
    REQUIRE(mkfifo(runtime.file.c_str(), 0600) == 0);
    std::ofstream(real) << "x";
  }
  SUBCASE("a folder with something in it") {
    std::filesystem::remove(runtime.file);
    std::filesystem::create_directory(runtime.file);
    std::ofstream(runtime.file + "/x") << good;
    std::ofstream(real) << "x";
    left = {".m.engine"};
  }
  SUBCASE("a file that others may write") {
    chmod(runtime.file.c_str(), 0620);
    std::ofstream(real) << "x";
  }
  SUBCASE("a file that others may read") {
    chmod(runtime.file.c_str(), 0644);
    std::ofstream(real) << "x";
  }
  CHECK(end_left_engines(runtime.path).empty());
  CHECK(runtime.names() == left);
  CHECK(std::filesystem::exists(real));
  CHECK(engine.runs());
}

TEST_CASE("a record that another user has written is removed, and believed in nothing") {
  const RuntimeFolder runtime;
  const LeftBehind engine;
  runtime.record(engine);
  if (geteuid() != 0) {
    MESSAGE("not tested: only root can give a file to another user");
    return;
  }
  REQUIRE(chown(runtime.file.c_str(), 65534, 65534) == 0);
  CHECK(end_left_engines(runtime.path).empty());
  CHECK(runtime.names().empty());
  CHECK(engine.runs());
}

TEST_CASE("files of other names are nobody's record") {
  const RuntimeFolder runtime;
  const LeftBehind engine;
  runtime.record(engine);
  const std::string good = runtime.text();
  std::filesystem::remove(runtime.file);
  const std::string too_long = "." + std::string(65, 'm') + ".engine";
  std::vector<std::string> others = {".engine",       "..engine",  "...engine",   "m.engine",
                                     ".m.engine.bak", ".m engine", ".m m.engine", ".m.engine.sock",
                                     ".m.ENGINE",     too_long};
  std::ranges::sort(others);
  for (const std::string& name : others) {
    runtime.put(good);
    std::filesystem::rename(runtime.file, runtime.folder.file(name));
  }
  CHECK(end_left_engines(runtime.path).empty());
  CHECK(runtime.names() == others);
  CHECK(engine.runs());
}

TEST_CASE("a record that was being written when its daemon was killed is removed") {
  const RuntimeFolder runtime;
  const LeftBehind engine;
  runtime.record(engine);
  std::filesystem::rename(runtime.file, runtime.folder.file(".m.engine.new"));
  CHECK(end_left_engines(runtime.path).empty());
  CHECK(runtime.names().empty());
  CHECK(engine.runs());
}

TEST_CASE("a runtime folder that is not there, or is a link, has no engines") {
  const RuntimeFolder runtime;
  const TempFolder elsewhere;
  const LeftBehind engine;
  runtime.record(engine);
  CHECK(end_left_engines(runtime.path + "/none").empty());
  std::filesystem::create_directory_symlink(runtime.path, elsewhere.file("link"));
  CHECK(end_left_engines(elsewhere.file("link")).empty());
  CHECK(engine.runs());
  CHECK(runtime.names().size() == 1);
}

// Runs `job` in a process of its own; what it exits with.
int exit_code_of(const std::function<int()>& job) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(job());
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// The same as the leader of a session.
int in_a_session(const std::function<int()>& job) {
  return exit_code_of([&job] {
    setsid();
    return job();
  });
}

std::string ticks_of(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::stringstream text;
  text << file.rdbuf();
  std::istringstream rest(text.str().substr(text.str().rfind(')') + 2));
  std::string field;
  for (int number = 3; number <= 22; ++number) rest >> field;
  return field;
}

TEST_CASE("a record that names who reads it, or who started that, ends neither") {
  const RuntimeFolder runtime;
  const LeftBehind engine;
  runtime.record(engine);
  const std::string good = runtime.text();
  const auto record_of = [&](pid_t pid) {
    std::string text = with_value(good, "pid", std::to_string(pid));
    text = with_value(text, "session", std::to_string(pid));
    return with_value(text, "start_ticks", ticks_of(pid));
  };
  SUBCASE("itself") {
    CHECK(in_a_session([&] {
            runtime.put(record_of(getpid()));
            return end_left_engines(runtime.path).empty() ? 0 : 1;
          }) == 0);
  }
  SUBCASE("the leader of its session") {
    CHECK(in_a_session([&] {
            runtime.put(record_of(getpid()));
            // Not as its child: its parent nobody ends either.
            return exit_code_of(
                [&] { return exit_code_of([&] { return end_left_engines(runtime.path).empty() ? 0 : 1; }); });
          }) == 0);
  }
  SUBCASE("its parent, in another session") {
    CHECK(in_a_session([&] {
            runtime.put(record_of(getpid()));
            return in_a_session([&] { return end_left_engines(runtime.path).empty() ? 0 : 1; });
          }) == 0);
  }
  CHECK(runtime.names().empty());
  CHECK(engine.runs());
}

TEST_CASE("an engine that may not be killed is told, at once, and its record stays") {
  constexpr uid_t nobody = 65534;
  if (geteuid() != 0) {
    MESSAGE("not tested: only root can start a process that this one may not kill");
    return;
  }
  const RuntimeFolder runtime;
  const LeftBehind engine;  // root's
  runtime.record(engine);
  REQUIRE(chown(runtime.path.c_str(), nobody, nobody) == 0);
  REQUIRE(chown(runtime.file.c_str(), nobody, nobody) == 0);
  const loop::test::Stopwatch watch;
  CHECK(in_a_session([&] {
          if (setgid(nobody) != 0 || setuid(nobody) != 0) return 77;
          const auto sentences = end_left_engines(runtime.path);
          return sentences.size() == 1 && sentences[0].find("still runs") != std::string::npos ? 0 : 1;
        }) == 0);
  CHECK(watch.elapsed_ms() < left_engines_wait_ms / 2);
  CHECK(engine.runs());
  CHECK(runtime.names() == std::vector<std::string>{".m.engine"});
}

}  // namespace
}  // namespace ggufd::engine
