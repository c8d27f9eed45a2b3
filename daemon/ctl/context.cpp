#include "ctl/context.h"

#include <fmt/core.h>
#include <unistd.h>

#include <optional>
#include <utility>

#include "config/places.h"
#include "ctl/human.h"

namespace ggufd::ctl {

void Context::complain(std::string_view message) {
  err.write(fmt::format("ggufctl: {}\n", printable(message)));
}

namespace {

// As it is where no shell would take it apart, else in single quotes.
std::string shell_word(std::string_view word) {
  constexpr std::string_view harmless =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./=:,@%+";
  if (!word.empty() && word.find_first_not_of(harmless) == std::string_view::npos) return std::string(word);
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

// What the package's service listens on, where it serves this user.
std::optional<std::string> service_socket(const Context& context) {
  std::string socket = fmt::format("{}/admin.sock", context.service_folder);
  if (access(socket.c_str(), R_OK | W_OK) != 0) return std::nullopt;
  return socket;
}

bool is_named(const config::Place& folder) {
  return folder.rule == "--runtime-dir" || folder.rule == "$GGUFD_RUNTIME_DIR" ||
         folder.rule == "$RUNTIME_DIRECTORY";
}

}  // namespace

std::string own_command(const GlobalOptions& options, std::string_view verb, std::string_view model) {
  std::string command = "ggufctl";
  if (options.runtime_dir) command += " --runtime-dir " + shell_word(*options.runtime_dir);
  if (options.socket) command += " --socket " + shell_word(*options.socket);
  command += fmt::format(" {}", verb);
  return model.empty() ? command : command + " " + shell_word(model);
}

Result<std::string> admin_socket(const Context& context) {
  if (context.options.socket) return *context.options.socket;
  const auto folder = config::find_runtime_folder({.runtime_dir = context.options.runtime_dir},
                                                  context.environment, context.uid);
  if (!folder) return std::unexpected(folder.error());
  auto files = config::runtime_files(folder->path);
  if (!files) return std::unexpected(files.error());
  if (is_named(*folder) || access(files->admin_socket.c_str(), F_OK) == 0)
    return std::move(files->admin_socket);
  return service_socket(context).value_or(std::move(files->admin_socket));
}

}  // namespace ggufd::ctl
