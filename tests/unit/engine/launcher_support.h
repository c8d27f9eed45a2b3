// What the tests of the launcher share: a launched child.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "engine/launcher.h"
#include "tests/unit/loop/support.h"

namespace ggufd::engine::test {

using loop::Loop;
using loop::test::run_until;

inline Launch shell(std::string script) {
  return {.program = "/bin/sh", .arguments = {"-c", std::move(script)}};
}

// A launched child, what it said and how it ended.
struct Run {
  explicit Run(Loop& of) : loop(of) {}

  void start(const Launch& launch, pid_t parent = getpid()) {
    auto started = start_child(loop, launcher_command(launch, parent),
                               {.on_output = [this](std::string_view bytes) { output += bytes; },
                                .on_exit =
                                    [this](loop::ChildExit how) {
                                      has_ended = true;
                                      exit = how;
                                    }});
    REQUIRE(started.has_value());
    child = std::move(*started);
  }
  void run(const Launch& launch, pid_t parent = getpid()) {
    start(launch, parent);
    loop.run();
    CHECK(has_ended);
  }
  bool wait_for_output(std::string_view expected) {
    return run_until(loop, [&] { return output.find(expected) != std::string::npos; });
  }

  Loop& loop;
  std::string output;
  bool has_ended = false;
  loop::ChildExit exit;
  loop::ChildPtr child;
};

// "name=123" in a child's output.
inline pid_t number_after(std::string_view output, std::string_view name) {
  const std::size_t at = output.find(name);
  return at == std::string_view::npos ? 0 : std::atoi(std::string(output.substr(at + name.size())).c_str());
}

}  // namespace ggufd::engine::test
