#include "http/listen_socket.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "config/address.h"

namespace ggufd::http {
namespace {

constexpr int backlog = 1024;  // the kernel caps it at net.core.somaxconn

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// `host:port` was checked with the configuration.
Result<Address> address_of(const std::string& text) {
  const auto parts = config::parse_host_port(text);
  if (!parts || !parts->port) return fail(ErrorCode::io, fmt::format("http.tcp: {} is no address", text));
  const std::string& host = parts->host;
  const in_port_t port = htons(*parts->port);
  Address address;
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = port;
    std::memcpy(&address.storage, &v6, sizeof v6);
    address.size = sizeof v6;
    return address;
  }
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = port;
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) != 1) v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::memcpy(&address.storage, &v4, sizeof v4);
  address.size = sizeof v4;
  return address;
}

// With the port that the kernel has chosen.
std::string name_of_socket(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return {};
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (storage.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &storage, sizeof v6);
    inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    return fmt::format("[{}]:{}", text.data(), ntohs(v6.sin6_port));
  }
  sockaddr_in v4{};
  std::memcpy(&v4, &storage, sizeof v4);
  inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
  return fmt::format("{}:{}", text.data(), ntohs(v4.sin_port));
}

}  // namespace

Result<ListenSocket> ListenSocket::at_path(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // config::runtime_files has seen to it that it fits.
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return std::unexpected(system_error("opening a socket", errno));
  ListenSocket made(fd, path);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return std::unexpected(system_error(fmt::format("binding {}", path), errno));
  }
  made.is_file_ = true;
  // Nobody can connect before listen(), so the mode is right from the first moment that counts.
  if (chmod(path.c_str(), 0600) != 0) {
    return std::unexpected(system_error(fmt::format("setting the mode of {}", path), errno));
  }
  if (listen(fd, backlog) != 0) {
    return std::unexpected(system_error(fmt::format("listening on {}", path), errno));
  }
  return made;
}

Result<ListenSocket> ListenSocket::at_address(const std::string& text) {
  const auto address = address_of(text);
  if (!address) return std::unexpected(address.error());
  const int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return std::unexpected(system_error(fmt::format("opening a socket for {}", text), errno));
  ListenSocket made(fd, text);
  // The address is free again as soon as its last daemon is gone.
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, address->get(), address->size) != 0 || listen(fd, backlog) != 0) {
    Error error = system_error(fmt::format("serving HTTP on {}", text), errno);
    error.message += "; choose another http.tcp, or end who has it";
    return std::unexpected(std::move(error));
  }
  made.name_ = name_of_socket(fd);
  return made;
}

ListenSocket::ListenSocket(ListenSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), name_(other.name_), is_file_(std::exchange(other.is_file_, false)) {}

ListenSocket::~ListenSocket() {
  if (fd_ >= 0) close(fd_);
  if (is_file_) unlink(name_.c_str());
}

}  // namespace ggufd::http
