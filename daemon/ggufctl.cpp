// ggufctl: asks a running ggufd. The verbs are in ctl/.

#include <csignal>
#include <span>

#include "ctl/context.h"
#include "ctl/program.h"
#include "loop/standard_descriptors.h"

int main(int argc, char** argv) {
  using namespace ggufd;
  if (!loop::fill_standard_descriptors(loop::MissingOutput::refused)) return ctl::failed;
  // A reader that has gone is seen as a failed write.
  signal(SIGPIPE, SIG_IGN);
  const std::span<const char* const> arguments(argv, static_cast<std::size_t>(argc));
  const int code = ctl::run(arguments.subspan(arguments.empty() ? 0 : 1),
                            {.environment = config::process_environment(), .version = GGUFD_VERSION});
  if (code <= ctl::by_signal) return code;
  // The shell that started us is to see which signal it was, and to end its own script.
  signal(code - ctl::by_signal, SIG_DFL);
  raise(code - ctl::by_signal);
  return code;
}
