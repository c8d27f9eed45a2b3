// ggufctl from its arguments to its exit code.
#pragma once

#include <chrono>
#include <span>

#include "config/environment.h"

namespace ggufd::ctl {

struct Surroundings {
  config::Environment environment;
  const char* version = "";
  int out = 1;  // descriptors of standard output and standard error; they stay the caller's
  int err = 2;
  std::chrono::milliseconds answer_timeout{10'000};
  std::chrono::milliseconds reconnect_patience{30'000};
  const char* service_folder = "/run/ggufd";  // where the package's service has its sockets
};

// `arguments` without the program's name. SIGPIPE must be ignored. Returns an exit code (ctl/context.h).
int run(std::span<const char* const> arguments, const Surroundings& surroundings);

}  // namespace ggufd::ctl
