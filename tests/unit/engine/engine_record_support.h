// Processes that stand for engines, and the folder of their records, for tests.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine_record.h"
#include "tests/unit/loop/support.h"

namespace ggufd::engine::test {

using loop::test::TempFolder;

// A process that leads a session of its own, as an engine does, and runs a script; it is our child. It has
// said something when this returns. Killed with its session at the end.
class LeftBehind {
 public:
  explicit LeftBehind(const std::string& script = "echo up; exec sleep 600", bool leads_session = true) {
    std::array<int, 2> output{};
    REQUIRE(pipe2(output.data(), O_CLOEXEC) == 0);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      if (leads_session) setsid();
      dup2(output[1], STDOUT_FILENO);
      execl("/bin/bash", "bash", "-c", script.c_str(), nullptr);
      _exit(127);
    }
    close(output[1]);
    std::array<char, 64> said{};
    ssize_t count = 0;
    do {
      count = read(output[0], said.data(), said.size());
    } while (count < 0 && errno == EINTR);
    close(output[0]);
    REQUIRE(count > 0);
    said_ = std::string(said.data(), static_cast<std::size_t>(count));
  }
  LeftBehind(const LeftBehind&) = delete;
  LeftBehind& operator=(const LeftBehind&) = delete;
  ~LeftBehind() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    if (getsid(pid_) == pid_) {
      for (const pid_t member : others()) kill(member, SIGKILL);
    }
    reap();
  }

  pid_t pid() const { return pid_; }
  const std::string& said() const { return said_; }
  // It runs, and is not stopped.
  bool runs() const { return std::string_view("RSD").contains(state()); }
  // How it ended; waits for it.
  int reap() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
    pid_ = 0;
    return status;
  }
  bool was_killed() {
    const int status = reap();
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }
  void wait_for_end() const {
    siginfo_t info{};
    while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) continue;
  }
  // Members of its session besides itself, those included that nobody has reaped yet.
  std::vector<pid_t> others() const {
    std::vector<pid_t> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const pid_t pid = std::atoi(entry.path().filename().c_str());
      if (pid > 0 && pid != pid_ && getsid(pid) == pid_) found.push_back(pid);
    }
    return found;
  }

 private:
  char state() const {
    std::ifstream file(fmt::format("/proc/{}/stat", pid_));
    std::string word;
    while (file >> word && !word.ends_with(')')) continue;
    file >> word;
    return word.empty() ? '?' : word.front();
  }

  pid_t pid_ = 0;
  std::string said_;
};

struct RuntimeFolder {
  TempFolder folder;
  std::string path = std::filesystem::path(folder.file("x")).parent_path();
  std::string file = folder.file(".m.engine");

  void record(const LeftBehind& engine, std::string_view model = "m") const {
    const auto recorded = record_engine(path, model, engine.pid());
    REQUIRE(recorded.has_value());
  }
  std::string text() const {
    std::ifstream stream(file);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  // As a record is: 0600.
  void put(std::string_view content) const {
    std::filesystem::remove_all(file);
    const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    REQUIRE(write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
    close(fd);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(path))
      found.push_back(entry.path().filename());
    std::ranges::sort(found);
    return found;
  }
};

// `text` with another value in the line that begins with `label`.
inline std::string with_value(const std::string& text, const std::string& label, const std::string& value) {
  const std::size_t begin = text.find(label + " ");
  REQUIRE(begin != std::string::npos);
  const std::size_t end = text.find('\n', begin);
  return text.substr(0, begin) + label + " " + value + text.substr(end);
}

inline std::string value_of(const std::string& text, const std::string& label) {
  const std::size_t begin = text.find(label + " ");
  REQUIRE(begin != std::string::npos);
  const std::size_t end = text.find('\n', begin);
  return text.substr(begin + label.size() + 1, end - begin - label.size() - 1);
}

}  // namespace ggufd::engine::test
