// A verb's talk with the daemon: connecting, asking, following the events, and saying what went wrong.
#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ctl/context.h"
#include "ctl/progress.h"
#include "protocol/client.h"

namespace ggufd::ctl {

// The error, where a frame is the answer to that request and is one. An error without an id is about a line
// that the daemon could not read, or about the connection: with one request under way it is that one's.
std::optional<ClientError> refusal_of(const Frame& frame, std::string_view id);

class Session {
 public:
  // Connects. Otherwise says why not and gives the exit code.
  static std::expected<Session, int> open(Context& context);

  Client& client() { return client_; }
  const std::string& socket() const { return socket_; }
  Deadline answer_deadline() const { return deadline_in(context_->answer_timeout); }

  // Asks what needs no work. Otherwise says why there is no answer and gives the exit code. With --json an
  // error of the daemon is printed as it came.
  template <class T>
  std::expected<T, int> ask(const RequestBody& request) {
    auto answer = client_.ask<T>(request, answer_deadline());
    if (!answer) return std::unexpected(report(answer.error()));
    return std::move(*answer);
  }

  // Before a request whose events are to be shown: from now on `progress` knows what is old, which is what
  // things were like and no news. Nothing is asked where nothing would be shown.
  std::expected<void, int> catch_up(Progress& progress);

  // Sends without waiting; the id of the answer to come. "" where the daemon has closed already: what it said
  // before, perhaps why, is still to be read.
  std::expected<std::string, int> send(const RequestBody& request);

  // Asks what takes its time: events are shown until the answer comes. Otherwise as ask(). Where a signal
  // ends it, `when_left` is said: that the daemon goes on, and how to end that. Begins with catch_up().
  std::expected<AnswerFrame, int> perform(const RequestBody& request, Progress& progress, Deadline deadline,
                                          std::string_view when_left = {});

  // Looks at each frame until one gives an exit code. Events have been shown by `progress` by then. The
  // result is an error where the frames end, the deadline passes, or what comes is no frame; a signal and an
  // output that nobody reads any more are exit codes. `deadline` is looked at before each wait: on_frame may
  // change it.
  using OnFrame = std::function<std::optional<int>(const Frame&)>;
  ClientResult<int> follow(Progress& progress, const Deadline& deadline, const OnFrame& on_frame);
  // The same, but that on_frame shows the events.
  ClientResult<int> follow_frames(Progress& progress, const Deadline& deadline, const OnFrame& on_frame);

  // A new connection in place of one that has ended. False: nobody is there.
  bool reconnect();
  // Waits that long; an exit code where a signal or the output's end came before.
  std::optional<int> pause(Progress& progress, std::chrono::milliseconds duration);

  // The default model's name; none where there is none.
  ClientResult<std::optional<std::string>> default_model();

  // Says what is wrong; gives the exit code.
  int report(const ClientError& error);

 private:
  Session(Context& context, std::string socket, Client client)
      : context_(&context), socket_(std::move(socket)), client_(std::move(client)) {}

  std::string explain(const ClientError& error);
  std::string explain_strange_daemon(const ClientError& error);
  std::optional<int> handle_wake(Progress& progress);

  Context* context_;
  std::string socket_;
  Client client_;
  std::vector<StatusEvent> passed_;  // events that came while an answer was waited for, until catch_up()
};

}  // namespace ggufd::ctl
