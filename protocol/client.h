// A client of the admin socket: connect, read frames, ask. Plain blocking calls with deadlines, no event loop
// and no thread; what ggufctl and a plugin written in C++ use.
//
//   auto client = Client::connect(path, deadline_in(5s));
//   auto status = client->ask<answer::Status>(request::Status{}, deadline_in(5s));
//   while (auto frame = client->read_frame(no_deadline)) …
//
// The daemon sends events from the first moment on, asked or not: whoever stays connected has to read. A
// client belongs to one thread at a time. SIGPIPE is never raised.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/error.h"
#include "protocol/frame.h"
#include "protocol/ndjson.h"
#include "protocol/request.h"

namespace ggufd {

// The version of the protocol that is spoken here; a daemon tells its own in the answer to `ping`.
inline constexpr std::uint32_t protocol_version = 1;

// The moment at which a call gives up; none: it waits for as long as it takes.
using Deadline = std::optional<std::chrono::steady_clock::time_point>;
inline constexpr Deadline no_deadline = std::nullopt;
inline Deadline deadline_in(std::chrono::milliseconds duration) {
  return std::chrono::steady_clock::now() + duration;
}

inline bool has_passed(Deadline deadline) {
  return deadline && std::chrono::steady_clock::now() >= *deadline;
}

struct ClientError {
  enum class Kind : std::uint8_t {
    no_daemon,  // nobody listens at that path
    closed,     // the daemon has ended the connection
    timed_out,  // the deadline has passed; the connection is as good as before, unless a send was under way
    woken,      // a descriptor of wake_on() has something; the connection is as good as before
    garbage,    // what came is not this protocol
    refused,    // the daemon has answered with an error: `error` is that one
    failed,     // a call of the operating system has failed
  };
  Kind kind = Kind::failed;
  Error error;  // where the kind is not `refused`, only its sentence says more

  friend bool operator==(const ClientError&, const ClientError&) = default;
};

template <class T>
using ClientResult = std::expected<T, ClientError>;

// What a deadline that has passed is.
ClientError timed_out_error();

class Client {
 public:
  // The events that come while an answer is waited for.
  using OnEvent = std::function<void(const StatusEvent&)>;

  // `path` may have 107 bytes, what the kernel takes (unix(7)).
  static ClientResult<Client> connect(const std::string& path, Deadline deadline);
  // Takes over a connected stream socket.
  explicit Client(int descriptor);
  ~Client();
  Client(Client&& other) noexcept;
  Client& operator=(Client&& other) noexcept;

  // The next frame, events and answers alike. A line that is no frame is `garbage` and is passed over; one
  // that exceeds max_frame_bytes ends all reading.
  ClientResult<Frame> read_frame(Deadline deadline);
  // A frame is here already: the next read_frame will not wait.
  bool has_frame() const { return !lines_.empty(); }
  // The line that the last frame was read from, as it came, without its '\n'.
  const std::string& line() const { return line_; }

  // Sends a request under an id of its own making, and returns that id. The answer comes through read_frame.
  ClientResult<std::string> send(const RequestBody& request, Deadline deadline);

  // Sends a request and reads up to its answer; events in between go to `on_event`. Answers to requests that
  // have timed out before are passed over.
  ClientResult<AnswerFrame> ask_raw(const RequestBody& request, Deadline deadline,
                                    const OnEvent& on_event = {});
  // T: the answer of that verb (protocol/answer.h).
  template <class T>
  ClientResult<T> ask(const RequestBody& request, Deadline deadline, const OnEvent& on_event = {}) {
    auto frame = ask_raw(request, deadline, on_event);
    if (!frame) return std::unexpected(std::move(frame.error()));
    auto answer = decode_answer<T>(*frame);
    if (!answer) return std::unexpected(unexpected_answer(answer.error()));
    return std::move(*answer);
  }

  // From now on a read that waits ends with `woken` when poll(2) reports one of `events` on `descriptor`, an
  // error or a hang-up. The descriptor stays its owner's and must outlive this client, or stop_waking().
  void wake_on(int descriptor, short events);
  void stop_waking() { wakers_.clear(); }

 private:
  struct Waker {
    int descriptor;
    short events;
  };

  static ClientError unexpected_answer(const Error& error);
  std::optional<ClientError> wait_for(short events, Deadline deadline, bool may_wake);
  std::optional<ClientError> read_lines();
  std::optional<ClientError> write_all(std::string_view bytes, Deadline deadline);

  int descriptor_ = -1;
  std::uint64_t last_id_ = 0;
  LineReader reader_{max_frame_bytes};
  bool is_overlong_ = false;  // a line was longer than any frame; what follows can't be told apart
  std::deque<std::string> lines_;
  std::string line_;
  std::vector<Waker> wakers_;
};

}  // namespace ggufd
