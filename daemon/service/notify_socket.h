// The datagram socket on which a service manager hears of its services: the protocol of sd_notify(3).
//
// It is written out here, as libsystemd's own call waits where the manager does not read: nothing that a
// manager does may hold up the loop.
#pragma once

#include <string>
#include <string_view>

#include "config/environment.h"

namespace ggufd::service {

class NotifySocket {
 public:
  enum class Sent {
    yes,
    not_now,  // its queue is full: to be tried again
    never,    // nobody is there, or it was refused
  };

  // $NOTIFY_SOCKET: an absolute path, or '@' and a name of the abstract namespace. Without one, or with
  // another kind of address, nobody is there.
  explicit NotifySocket(const config::Environment& environment);
  ~NotifySocket();
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  bool is_open() const { return fd_ >= 0; }
  // "NAME=value" lines, as one message. Does not wait.
  Sent send(std::string_view lines) const;

 private:
  const std::string address_;
  int fd_ = -1;
};

// What a start has failed with, for `systemctl status`: the sentence and errno's value. Without a loop, once.
void tell_failed_start(const config::Environment& environment, std::string_view sentence, int error_number);

// A value ends with its line: line breaks and other control characters become spaces.
std::string notify_value(std::string_view text);

}  // namespace ggufd::service
