// What the tests of children share.
#pragma once

#include <fcntl.h>

#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "loop/child.h"
#include "tests/unit/loop/support.h"

namespace ggufd::loop::test {

inline ChildOptions shell(std::string script) {
  return {.program = "/bin/sh", .arguments = {"-c", std::move(script)}, .environment = {}};
}

// A child, what it said and how it ended.
struct Run {
  explicit Run(Loop& of) : loop(of) {}

  void start(const ChildOptions& options) {
    auto started = start_child(loop, options,
                               {.on_output = [this](std::string_view bytes) { output += bytes; },
                                .on_exit =
                                    [this](ChildExit how) {
                                      ++exits;
                                      exit = how;
                                      output_at_exit = output.size();
                                    }});
    REQUIRE(started.has_value());
    operation = std::move(*started);
  }
  bool wait_for_output(std::string_view expected) {
    return run_until(loop, [&] { return output.find(expected) != std::string::npos; });
  }
  bool wait_for_output_now(std::string_view expected) {
    uv_run(loop.raw(), UV_RUN_NOWAIT);
    return output.find(expected) != std::string::npos;
  }
  bool wait_for_exit() {
    return run_until(loop, [&] { return exits > 0; });
  }

  Loop& loop;
  std::string output;
  std::size_t output_at_exit = 0;
  int exits = 0;
  ChildExit exit;
  ChildPtr operation;
};

// A file with a text in it, open.
class Descriptor {
 public:
  Descriptor(const std::string& path, std::string_view text)
      : number_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    REQUIRE(pwrite(number_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(number_); }
  int number() const { return number_; }
  bool is_open() const { return fcntl(number_, F_GETFD) == FD_CLOEXEC; }

 private:
  int number_;
};

inline std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

}  // namespace ggufd::loop::test
