#include "ctl/output.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace ggufd::ctl {

bool Output::write(std::string_view text) {
  while (!text.empty() && error_number_ == 0) {
    const ssize_t count = ::write(descriptor_, text.data(), text.size());
    if (count >= 0) {
      text.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {
      // Somebody who shares the descriptor has made it non-blocking.
      pollfd polled{.fd = descriptor_, .events = POLLOUT, .revents = 0};
      poll(&polled, 1, -1);
    } else if (errno != EINTR) {
      error_number_ = errno;
    }
  }
  return error_number_ == 0;
}

}  // namespace ggufd::ctl
