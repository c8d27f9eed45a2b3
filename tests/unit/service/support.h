// What the tests of the service room share: a service manager's end of the notify socket.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/environment.h"
#include "tests/unit/loop/support.h"

namespace ggufd::service::test {

inline config::Environment environment_of(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

// Bound to `address` as $NOTIFY_SOCKET has it.
class Manager {
 public:
  explicit Manager(std::string address)
      : address_(std::move(address)), fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::memcpy(to.sun_path, address_.data(), address_.size());
    if (address_.starts_with('@')) to.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
    REQUIRE(bind(fd_, reinterpret_cast<const sockaddr*>(&to), size) == 0);
  }
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;
  ~Manager() { close(fd_); }

  config::Environment environment(std::map<std::string, std::string> more = {}) const {
    more["NOTIFY_SOCKET"] = address_;
    return environment_of(std::move(more));
  }

  // The next message that has come; nothing where none has.
  std::optional<std::string> read() const {
    std::array<char, 4096> buffer;
    const ssize_t size = recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size < 0) return std::nullopt;
    return std::string(buffer.data(), static_cast<std::size_t>(size));
  }
  std::vector<std::string> read_all() const {
    std::vector<std::string> messages;
    while (auto message = read()) messages.push_back(std::move(*message));
    return messages;
  }

 private:
  const std::string address_;
  const int fd_;
};

}  // namespace ggufd::service::test
