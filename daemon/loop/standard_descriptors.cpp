#include "loop/standard_descriptors.h"

#include <fcntl.h>
#include <unistd.h>

namespace ggufd::loop {

bool fill_standard_descriptors(MissingOutput missing_output) {
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; ++descriptor) {
    if (fcntl(descriptor, F_GETFD) >= 0) continue;
    const bool is_refused = descriptor == STDOUT_FILENO && missing_output == MissingOutput::refused;
    // The lowest free number is given: those below are open by now. Children inherit it, as any other.
    if (open("/dev/null", is_refused ? O_RDONLY : O_RDWR) != descriptor) return false;
  }
  return true;
}

}  // namespace ggufd::loop
