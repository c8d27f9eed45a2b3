#include "ctl/context.h"

#include <fmt/core.h>

#include <utility>

#include "config/places.h"
#include "ctl/human.h"

namespace ggufd::ctl {

void Context::complain(std::string_view message) {
  err.write(fmt::format("ggufctl: {}\n", printable(message)));
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
