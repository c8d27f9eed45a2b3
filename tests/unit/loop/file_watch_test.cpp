// A file is watched, by what it is and not by its name.
#include "loop/file_watch.h"

#include <fcntl.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "tests/unit/loop/support.h"

namespace ggufd::loop {
namespace {

using test::run_until;
using test::TempFolder;
using test::Token;

struct OpenFile {
  OpenFile() {
    std::ofstream(path) << "twelve bytes";
    fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
  }
  ~OpenFile() { close(fd); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  std::string by_descriptor() const { return "/proc/self/fd/" + std::to_string(fd); }

  TempFolder folder;
  std::string path = folder.file("file");
  int fd = -1;
};

struct Watched {
  explicit Watched(const std::string& path) {
    auto started = FileWatch::start(loop, path, [this] {
      ++calls;
      at_change();
    });
    REQUIRE(started);
    watch = std::move(*started);
  }
  bool is_told() {
    return run_until(loop, [this] { return calls > 0; });
  }

  Loop loop;
  int calls = 0;
  std::function<void()> at_change = [] {};
  std::unique_ptr<FileWatch> watch;
};

TEST_CASE("a truncated file is told") {
  const OpenFile file;
  Watched watched(file.path);
  std::filesystem::resize_file(file.path, 3);
  CHECK(watched.is_told());
}

TEST_CASE("a file that is written to is told") {
  const OpenFile file;
  Watched watched(file.path);
  std::ofstream(file.path, std::ios::app) << "more";
  CHECK(watched.is_told());
}

TEST_CASE("through a descriptor the file is watched, whatever has become of its name") {
  const OpenFile file;
  const std::string elsewhere = file.folder.file("elsewhere");
  std::filesystem::rename(file.path, elsewhere);
  std::ofstream(file.path) << "another one";
  Watched watched(file.by_descriptor());
  std::filesystem::resize_file(elsewhere, 0);
  CHECK(watched.is_told());
}

TEST_CASE("nothing is told without a change, nor of a file beside it") {
  const OpenFile file;
  Watched watched(file.by_descriptor());
  std::ofstream(file.folder.file("beside")) << "this";
  // What happened first would be told first: a change that is told ends the wait.
  Watched beside(file.folder.file("beside"));
  std::ofstream(file.folder.file("beside")) << "that";
  CHECK(beside.is_told());
  uv_run(watched.loop.raw(), UV_RUN_NOWAIT);
  CHECK(watched.calls == 0);
}

TEST_CASE("a watch does not keep the loop running") {
  const OpenFile file;
  Watched watched(file.path);
  watched.loop.run();
  CHECK(watched.calls == 0);
}

TEST_CASE("two watches of one file are both told") {
  const OpenFile file;
  Watched watched(file.path);
  int others = 0;
  const auto other = FileWatch::start(watched.loop, file.by_descriptor(), [&others] { ++others; });
  REQUIRE(other);
  std::filesystem::resize_file(file.path, 1);
  CHECK(run_until(watched.loop, [&] { return watched.calls > 0 && others > 0; }));
}

TEST_CASE("a watch may be destroyed when it is told, and by what it tells") {
  const OpenFile file;
  Watched watched(file.path);
  const Token token;
  watched.at_change = [&watched, held = token.held] {
    watched.watch.reset();
    CHECK_FALSE(held->empty());
  };
  std::filesystem::resize_file(file.path, 3);
  std::filesystem::resize_file(file.path, 2);
  CHECK(watched.is_told());
  watched.loop.run();
  CHECK(watched.calls == 1);
}

TEST_CASE("what cannot be watched is an error that names it") {
  Loop loop;
  const TempFolder folder;
  const auto watch = FileWatch::start(loop, folder.file("none"), [] {});
  REQUIRE_FALSE(watch);
  CHECK(watch.error().code == ErrorCode::io);
  CHECK(watch.error().message.find(folder.file("none")) != std::string::npos);
}

}  // namespace
}  // namespace ggufd::loop
