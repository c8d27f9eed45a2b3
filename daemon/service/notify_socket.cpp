#include "service/notify_socket.h"

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace ggufd::service {
namespace {

bool is_notify_address(std::string_view address) {
  const bool has_form = address.starts_with('/') || address.starts_with('@');
  return has_form && address.size() > 1 && address.size() < sizeof(sockaddr_un::sun_path);
}

}  // namespace

NotifySocket::NotifySocket(const config::Environment& environment)
    : address_(environment("NOTIFY_SOCKET").value_or("")) {
  if (is_notify_address(address_)) fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

NotifySocket::~NotifySocket() {
  if (is_open()) close(fd_);
}

NotifySocket::Sent NotifySocket::send(std::string_view lines) const {
  if (!is_open()) return Sent::never;
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, address_.data(), address_.size());
  if (address_.starts_with('@')) to.sun_path[0] = '\0';
  // A name of the abstract namespace is as long as the address says; a NUL at its end would be part of it.
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  const ssize_t sent = sendto(fd_, lines.data(), lines.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&to), size);
  if (sent >= 0) return Sent::yes;
  const bool is_full = errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == EINTR;
  return is_full ? Sent::not_now : Sent::never;
}

void tell_failed_start(const config::Environment& environment, std::string_view sentence, int error_number) {
  const NotifySocket socket(environment);
  static_cast<void>(socket.send(fmt::format("STATUS={}\nERRNO={}", notify_value(sentence), error_number)));
}

std::string notify_value(std::string_view text) {
  std::string value(text);
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  std::ranges::replace_if(value, is_control, ' ');
  return value;
}

}  // namespace ggufd::service
