// The sockets that HTTP is served on.
#pragma once

#include <string>
#include <utility>

#include "protocol/error.h"

namespace ggufd::http {

// A listening descriptor, and the file of a Unix socket: closed and unlinked with its owner.
class ListenSocket {
 public:
  // At a path, which must be free; mode 0600.
  static Result<ListenSocket> at_path(const std::string& path);
  // At `host:port` as the configuration has it: an IP address or localhost, which is 127.0.0.1. With port 0
  // the kernel chooses one.
  static Result<ListenSocket> at_address(const std::string& address);

  ListenSocket(ListenSocket&& other) noexcept;
  ListenSocket& operator=(ListenSocket&&) = delete;
  ~ListenSocket();

  int fd() const { return fd_; }
  // The path, or the address with the port that it has got.
  const std::string& name() const { return name_; }

 private:
  ListenSocket(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

  int fd_;
  std::string name_;
  bool is_file_ = false;
};

}  // namespace ggufd::http
