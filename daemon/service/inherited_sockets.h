// Sockets that a service manager has bound and listens on for us: the protocol of sd_listen_fds(3).
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace ggufd::service {

// A descriptor of ours, close-on-exec, with the name that it was given; closed unless it is taken.
class InheritedSocket {
 public:
  InheritedSocket(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}
  InheritedSocket(InheritedSocket&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), name_(std::move(other.name_)) {}
  InheritedSocket& operator=(InheritedSocket&&) = delete;
  ~InheritedSocket();

  const std::string& name() const { return name_; }  // FileDescriptorName=, or the socket unit's name
  // Where it is bound: a path, '@' and a name of the abstract namespace, or "" for what is no Unix socket.
  std::string path() const;
  int take() { return std::exchange(fd_, -1); }

 private:
  int fd_;
  std::string name_;
};

// Those that $LISTEN_FDS counts, where $LISTEN_PID says that they are meant for us. The variables are
// removed, so that no child takes them for its own. Once, at the start of the process, before it has threads.
std::vector<InheritedSocket> take_inherited_sockets();

}  // namespace ggufd::service
