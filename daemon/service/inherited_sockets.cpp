#include "service/inherited_sockets.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <string_view>

namespace ggufd::service {
namespace {

constexpr int first_descriptor = 3;  // SD_LISTEN_FDS_START
constexpr int max_descriptors = 1024;

std::optional<int> whole_number(const std::string& text) {
  int value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The variable's value, "" where it is not set; it is not set afterwards.
std::string take_variable(const char* name) {
  const char* value = std::getenv(name);
  std::string taken = value == nullptr ? "" : value;
  unsetenv(name);
  return taken;
}

// Up to the next colon; the text goes on behind it.
std::string take_name(std::string_view& names) {
  const std::size_t end = names.find(':');
  std::string name(names.substr(0, end));
  names = end == std::string_view::npos ? "" : names.substr(end + 1);
  return name;
}

bool closes_on_exec(int fd) {
  const int flags = fcntl(fd, F_GETFD);
  return flags >= 0 && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == 0;
}

}  // namespace

InheritedSocket::~InheritedSocket() {
  if (fd_ >= 0) close(fd_);
}

std::string InheritedSocket::path() const {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if (getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  constexpr std::size_t head = offsetof(sockaddr_un, sun_path);
  if (address.sun_family != AF_UNIX || size <= head) return {};
  std::string path(address.sun_path, size - head);
  if (path.front() == '\0') {
    path.front() = '@';
  } else {
    path.resize(path.find('\0') == std::string::npos ? path.size() : path.find('\0'));
  }
  return path;
}

std::vector<InheritedSocket> take_inherited_sockets() {
  const std::string meant_for = take_variable("LISTEN_PID");
  const std::string count = take_variable("LISTEN_FDS");
  const std::string names_text = take_variable("LISTEN_FDNAMES");
  std::vector<InheritedSocket> sockets;
  if (whole_number(meant_for) != getpid()) return sockets;
  std::string_view names = names_text;
  const int end = first_descriptor + std::min(whole_number(count).value_or(0), max_descriptors);
  for (int fd = first_descriptor; fd < end; ++fd) {
    std::string name = take_name(names);
    if (closes_on_exec(fd)) sockets.emplace_back(fd, std::move(name));
  }
  return sockets;
}

}  // namespace ggufd::service
