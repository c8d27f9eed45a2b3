// What every verb is given: the options before and behind it, where to write, what the terminal can do.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "config/environment.h"
#include "ctl/output.h"
#include "ctl/terminal.h"
#include "protocol/error.h"

namespace ggufd::ctl {

// ggufctl's exit codes. A signal that ends it is 128 and its number.
enum ExitCode : int { done = 0, failed = 1, usage = 2, no_daemon = 3, by_signal = 128 };

struct GlobalOptions {
  std::optional<std::string> runtime_dir;
  std::optional<std::string> socket;
  std::optional<std::string> config;
  std::optional<std::string> store;
  bool json = false;
};

struct Context {
  GlobalOptions options;
  config::Environment environment;
  uid_t uid = 0;
  Output& out;
  Output& err;
  Terminal terminal;  // of `out`
  // How long a daemon may take for an answer that needs no work. One that needs some has no limit.
  std::chrono::milliseconds answer_timeout{10'000};
  // How long a watch that no terminal shows waits for a daemon that has gone.
  std::chrono::milliseconds reconnect_patience{30'000};
  const char* version = "";         // this program's
  const char* service_folder = "";  // where the package's service has its sockets

  // "ggufctl: message" on `err`.
  void complain(std::string_view message);
};

// A command line that asks the same daemon: "ggufctl --socket PATH cancel m". Quoted for a shell. `model` may
// be empty: then none is named.
std::string own_command(const GlobalOptions& options, std::string_view verb, std::string_view model);

// --socket, else admin.sock in the runtime folder; where nobody has named that and none is there, that of the
// package's service, if this user may connect to it.
Result<std::string> admin_socket(const Context& context);

}  // namespace ggufd::ctl
