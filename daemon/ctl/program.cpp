#include "ctl/program.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "ctl/command_line.h"

namespace ggufd::ctl {

int run(std::span<const char* const> arguments, const Surroundings& surroundings) {
  Output out(surroundings.out);
  Output err(surroundings.err);
  const auto groups = all_verbs();
  const auto line = parse_command_line(arguments, groups, out, err, surroundings.version);
  if (!line) return out.has_failed() && line.error() == done ? failed : line.error();
  Context context{.options = line->options,
                  .environment = surroundings.environment,
                  .uid = geteuid(),
                  .out = out,
                  .err = err,
                  .terminal = terminal_of(surroundings.out, surroundings.environment),
                  .answer_timeout = surroundings.answer_timeout,
                  .reconnect_patience = surroundings.reconnect_patience,
                  .version = surroundings.version,
                  .service_folder = surroundings.service_folder};
  const int code = line->verb->run(context);
  if (!out.has_failed() || code >= by_signal) return code;
  // Whoever closes the pipe has seen enough and wants no word about it.
  if (out.error_number() != EPIPE) {
    context.complain(fmt::format("cannot write: {}", std::generic_category().message(out.error_number())));
  }
  return code == done ? failed : code;
}

}  // namespace ggufd::ctl
