#include "ctl/context.h"

#include <fmt/core.h>

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
  return std::move(files->admin_socket);
}

}  // namespace ggufd::ctl
