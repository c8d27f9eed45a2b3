#include "loop/connect.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "loop/timer.h"

namespace ggufd::loop {
namespace {

// A port that nobody listens on may be given to the very socket that connects to it; TCP then connects the
// socket to itself (RFC 9293, simultaneous open).
bool is_connected_to_itself(int fd) {
  sockaddr_in own{};
  sockaddr_in peer{};
  socklen_t own_size = sizeof own;
  socklen_t peer_size = sizeof peer;
  return getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_size) == 0 &&
         getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0 &&
         own.sin_port == peer.sin_port && own.sin_addr.s_addr == peer.sin_addr.s_addr;
}

class Connecting final : public Operation {
 public:
  Connecting(Loop& loop, std::uint16_t port, OnConnected done)
      : loop_(loop), port_(port), done_(std::move(done)), later_(loop, [this] { finish(*failure_); }) {
    if (const int error_number = begin(); error_number != 0) fail_later(error(error_number));
  }
  ~Connecting() override {
    poll_.reset();
    if (fd_ >= 0) close(fd_);
  }

  void cancel() override {
    if (!done_) return;
    poll_.reset();
    fail_later({ErrorCode::cancelled, fmt::format("connecting to 127.0.0.1:{} was cancelled", port_)});
  }

 private:
  // The number of what failed, 0 where it is under way.
  int begin() {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0) return errno;
    constexpr int yes = 1;
    if (setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) != 0) return errno;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
        errno != EINPROGRESS) {
      return errno;
    }
    auto poll = std::make_unique<uv_poll_t>();
    if (const int status = uv_poll_init_socket(loop_.raw(), poll.get(), fd_)) return -status;
    poll->data = this;
    poll_.reset(poll.release());
    return -uv_poll_start(poll_.get(), UV_WRITABLE, [](uv_poll_t* handle, int, int) {
      if (handle->data != nullptr) static_cast<Connecting*>(handle->data)->decided();
    });
  }

  void decided() {
    int error_number = 0;
    socklen_t size = sizeof error_number;
    if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error_number, &size) != 0) error_number = errno;
    if (error_number == 0 && is_connected_to_itself(fd_)) error_number = ECONNREFUSED;
    if (error_number != 0) return finish(error(error_number));
    poll_.reset();  // the stream watches it now
    auto stream = TcpStream::take(loop_, std::exchange(fd_, -1));
    if (!stream) return finish(stream.error());
    tell(std::move(*stream));
  }

  Error error(int error_number) const {
    return system_error(fmt::format("connecting to 127.0.0.1:{}", port_), error_number, ErrorCode::network);
  }

  void fail_later(Error failure) {
    failure_ = std::move(failure);
    later_.start_once(0);
  }

  void finish(Error failure) {
    poll_.reset();
    if (fd_ >= 0) close(std::exchange(fd_, -1));
    tell(std::unexpected(std::move(failure)));
  }

  void tell(Result<std::unique_ptr<TcpStream>> outcome) {
    OnConnected done = std::exchange(done_, nullptr);
    done(std::move(outcome));  // may destroy this
  }

  Loop& loop_;
  const std::uint16_t port_;
  OnConnected done_;
  int fd_ = -1;
  HandlePtr<uv_poll_t> poll_;
  std::optional<Error> failure_;  // decided, and not yet told
  Timer later_;                   // tells it
};

}  // namespace

OperationPtr connect_loopback(Loop& loop, std::uint16_t port, OnConnected done) {
  return std::make_unique<Connecting>(loop, port, std::move(done));
}

}  // namespace ggufd::loop
