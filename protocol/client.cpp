#include "protocol/client.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

namespace ggufd {
namespace {

using Kind = ClientError::Kind;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

ClientError error_of(Kind kind, std::string message) {
  return {kind, {kind == Kind::garbage ? ErrorCode::malformed_json : ErrorCode::io, std::move(message)}};
}

ClientError failed_call(std::string_view what, int error_number) {
  return {Kind::failed, system_error(what, error_number)};
}

ClientError end_of_stream() {
  return error_of(Kind::closed, "the daemon has ended the connection");
}

// As poll(2) takes it: -1 waits for ever. Rounded up, so that a wait never ends before its deadline.
int poll_timeout_ms(Deadline deadline) {
  if (!deadline) return -1;
  const auto left = std::chrono::ceil<milliseconds>(*deadline - steady_clock::now()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, INT_MAX));
}

// A connect to a Unix socket whose backlog is full can't be polled for: it has to wait in the kernel, which
// SO_SNDTIMEO bounds.
void limit_connect(int descriptor, Deadline deadline) {
  if (!deadline) return;
  const auto left = std::max(std::chrono::ceil<microseconds>(*deadline - steady_clock::now()).count(), 1L);
  const timeval timeout{.tv_sec = left / 1'000'000, .tv_usec = left % 1'000'000};
  setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
}

ClientError connect_error(const std::string& path, int error_number) {
  const std::string message = system_error(fmt::format("cannot connect to {}", path), error_number).message;
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED:
      return error_of(Kind::no_daemon, message);
    case EAGAIN:
      return error_of(Kind::timed_out,
                      fmt::format("cannot connect to {}: the daemon has not accepted in time", path));
    default:
      return error_of(Kind::failed, message);
  }
}

}  // namespace

ClientError timed_out_error() {
  return error_of(Kind::timed_out, "the daemon has not answered in time");
}

ClientResult<Client> Client::connect(const std::string& path, Deadline deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return std::unexpected(
        error_of(Kind::failed, fmt::format("the socket path \"{}\" has {} bytes; a Unix socket's has 1 to {}",
                                           path, path.size(), sizeof address.sun_path - 1)));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return std::unexpected(failed_call("cannot make a socket", errno));
  Client client(descriptor);
  int outcome = 0;
  do {
    limit_connect(descriptor, deadline);
    outcome = ::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } while (outcome < 0 && errno == EINTR);
  if (outcome < 0) return std::unexpected(connect_error(path, errno));
  return client;
}

Client::Client(int descriptor) : descriptor_(descriptor) {}

Client::~Client() {
  if (descriptor_ >= 0) close(descriptor_);
}

Client::Client(Client&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      last_id_(other.last_id_),
      reader_(std::move(other.reader_)),
      is_overlong_(other.is_overlong_),
      lines_(std::move(other.lines_)),
      line_(std::move(other.line_)),
      wakers_(std::move(other.wakers_)) {}

Client& Client::operator=(Client&& other) noexcept {
  if (this == &other) return *this;
  if (descriptor_ >= 0) close(descriptor_);
  descriptor_ = std::exchange(other.descriptor_, -1);
  last_id_ = other.last_id_;
  reader_ = std::move(other.reader_);
  is_overlong_ = other.is_overlong_;
  lines_ = std::move(other.lines_);
  line_ = std::move(other.line_);
  wakers_ = std::move(other.wakers_);
  return *this;
}

void Client::wake_on(int descriptor, short events) {
  wakers_.push_back({descriptor, events});
}

// Nothing once one of `events` is there, or the end of the stream.
std::optional<ClientError> Client::wait_for(short events, Deadline deadline, bool may_wake) {
  std::vector<pollfd> polled{{.fd = descriptor_, .events = events, .revents = 0}};
  if (may_wake) {
    for (const Waker& waker : wakers_) polled.push_back({waker.descriptor, waker.events, 0});
  }
  while (true) {
    const int count = poll(polled.data(), polled.size(), poll_timeout_ms(deadline));
    if (count < 0 && errno != EINTR) return failed_call("cannot wait for the daemon", errno);
    if (count < 0) continue;
    // A flood of events must not keep what wakes from being seen.
    if (std::any_of(polled.begin() + 1, polled.end(), [](const pollfd& p) { return p.revents != 0; })) {
      return error_of(Kind::woken, "woken up");
    }
    if (polled[0].revents != 0) return std::nullopt;
    if (has_passed(deadline)) return timed_out_error();
  }
}

// One read of what is there, as lines.
std::optional<ClientError> Client::read_lines() {
  char buffer[16 * 1024];
  const ssize_t count = recv(descriptor_, buffer, sizeof buffer, MSG_DONTWAIT);
  if (count == 0) return end_of_stream();
  if (count < 0) {
    if (errno == EAGAIN || errno == EINTR) return std::nullopt;
    // What a peer's close looks like where it had not read all that was sent to it.
    if (errno == ECONNRESET) return end_of_stream();
    return failed_call("cannot read from the daemon", errno);
  }
  is_overlong_ = !reader_.feed({buffer, static_cast<std::size_t>(count)}, [&](std::string_view line) {
    lines_.emplace_back(line);
    return true;
  });
  return std::nullopt;
}

ClientResult<Frame> Client::read_frame(Deadline deadline) {
  while (lines_.empty()) {
    if (is_overlong_) {
      return std::unexpected(
          error_of(Kind::garbage, fmt::format("a line has more than {} bytes", max_frame_bytes)));
    }
    if (auto error = wait_for(POLLIN, deadline, true)) return std::unexpected(std::move(*error));
    if (auto error = read_lines()) return std::unexpected(std::move(*error));
  }
  line_ = std::move(lines_.front());
  lines_.pop_front();
  auto frame = decode_frame(line_);
  if (!frame) return std::unexpected(ClientError{Kind::garbage, std::move(frame.error())});
  return std::move(*frame);
}

std::optional<ClientError> Client::write_all(std::string_view bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return end_of_stream();
    } else if (errno == EAGAIN) {
      if (auto error = wait_for(POLLOUT, deadline, false)) return error;
    } else if (errno != EINTR) {
      return failed_call("cannot write to the daemon", errno);
    }
  }
  return std::nullopt;
}

ClientResult<std::string> Client::send(const RequestBody& request, Deadline deadline) {
  std::string id = fmt::format("c{}", ++last_id_);
  const std::string line = encoded(Request{id, request});
  if (line.size() > max_frame_bytes) {
    return std::unexpected(error_of(Kind::failed, fmt::format("the request has {} bytes and a frame holds {}",
                                                              line.size(), max_frame_bytes)));
  }
  if (auto error = write_all(line, deadline)) return std::unexpected(std::move(*error));
  return id;
}

ClientResult<AnswerFrame> Client::ask_raw(const RequestBody& request, Deadline deadline,
                                          const OnEvent& on_event) {
  auto id = send(request, deadline);
  // A daemon that turns a client away says why before it closes: that is read below.
  if (!id && id.error().kind != Kind::closed) return std::unexpected(std::move(id.error()));
  while (true) {
    auto frame = read_frame(deadline);
    if (!frame) return std::unexpected(std::move(frame.error()));
    if (const auto* event = std::get_if<StatusEvent>(&*frame)) {
      if (on_event) on_event(*event);
    } else if (auto* answer = std::get_if<AnswerFrame>(&*frame)) {
      if (id && answer->id == *id) return std::move(*answer);
    } else if (auto* error = std::get_if<ErrorFrame>(&*frame)) {
      // Without an id it is about a line that the daemon could not read, or about the connection.
      if (error->id.empty() || (id && error->id == *id)) {
        return std::unexpected(ClientError{Kind::refused, std::move(error->error)});
      }
    }
    // Events without end must not keep the deadline from passing.
    if (!has_frame() && has_passed(deadline)) return std::unexpected(timed_out_error());
  }
}

ClientError Client::unexpected_answer(const Error& error) {
  return {Kind::garbage,
          {error.code, fmt::format("the daemon's answer has another shape: {}", error.message)}};
}

}  // namespace ggufd
