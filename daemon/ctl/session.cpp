#include "ctl/session.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "ctl/status_report.h"

namespace ggufd::ctl {
namespace {

using Kind = ClientError::Kind;

// Nothing else is heard meanwhile: no signal, no end of the output.
constexpr std::chrono::milliseconds longest_connect{500};
constexpr std::chrono::milliseconds longest_catching_up{1000};

// Looked for at the default place, while the package's service has another one.
bool is_service_elsewhere(const Context& context, const std::string& socket) {
  struct stat status{};
  return !socket.starts_with(std::string(context.service_folder) + "/") &&
         stat(context.service_folder, &status) == 0;
}

std::string how_to_start(const GlobalOptions& options) {
  std::string command = "ggufd";
  if (options.runtime_dir) command += " --runtime-dir " + *options.runtime_dir;
  if (options.config) command += " --config " + *options.config;
  if (options.store) command += " --store " + *options.store;
  return command;
}

Deadline earlier(Deadline one, Deadline other) {
  if (!one || !other) return one ? one : other;
  return std::min(*one, *other);
}

}  // namespace

std::optional<ClientError> refusal_of(const Frame& frame, std::string_view id) {
  const auto* error = std::get_if<ErrorFrame>(&frame);
  if (!error || (!error->id.empty() && error->id != id)) return std::nullopt;
  return ClientError{Kind::refused, error->error};
}

std::expected<Session, int> Session::open(Context& context) {
  auto socket = admin_socket(context);
  if (!socket) {
    context.complain(socket.error().message);
    return std::unexpected(failed);
  }
  auto client = Client::connect(*socket, deadline_in(context.answer_timeout));
  if (client) return Session(context, std::move(*socket), std::move(*client));
  if (client.error().kind == Kind::no_daemon) {
    const std::string advice =
        is_service_elsewhere(context, *socket)
            ? fmt::format("the service's is in {0}: name it with --runtime-dir {0} or GGUFD_RUNTIME_DIR",
                          context.service_folder)
            : "start one with: " + how_to_start(context.options);
    context.complain(fmt::format("no daemon is there: {}; {}", client.error().error.message, advice));
    return std::unexpected(no_daemon);
  }
  context.complain(client.error().error.message);
  return std::unexpected(failed);
}

std::expected<std::string, int> Session::send(const RequestBody& request) {
  auto id = client_.send(request, answer_deadline());
  if (id) return std::move(*id);
  if (id.error().kind == Kind::closed) return std::string();
  return std::unexpected(report(id.error()));
}

std::expected<AnswerFrame, int> Session::perform(const RequestBody& request, Progress& progress,
                                                 Deadline deadline, std::string_view when_left) {
  if (const auto caught_up = catch_up(progress); !caught_up) return std::unexpected(caught_up.error());
  const auto id = send(request);
  if (!id) return std::unexpected(id.error());
  std::optional<AnswerFrame> answer;
  std::optional<ClientError> refusal;
  const auto code = follow(progress, deadline, [&](const Frame& frame) -> std::optional<int> {
    refusal = refusal_of(frame, *id);
    if (refusal) return failed;
    const auto* candidate = std::get_if<AnswerFrame>(&frame);
    if (!candidate || candidate->id != *id) return std::nullopt;
    answer = *candidate;
    return done;
  });
  progress.finish();
  if (refusal) return std::unexpected(report(*refusal));
  if (!code) return std::unexpected(report(code.error()));
  if (!answer && *code >= by_signal && !when_left.empty()) context_->complain(when_left);
  if (!answer) return std::unexpected(*code);
  return std::move(*answer);
}

ClientResult<std::optional<std::string>> Session::default_model() {
  const auto status = client_.ask<answer::Status>(
      request::Status{}, answer_deadline(), [this](const StatusEvent& event) { passed_.push_back(event); });
  if (!status) return std::unexpected(status.error());
  return default_model_of(*status);
}

// A `subscribe` without a wish changes nothing, and its answer tells the last event's seq. Whatever keeps
// that from coming, the request itself tells.
std::expected<void, int> Session::catch_up(Progress& progress) {
  if (!progress.is_shown()) return {};
  const auto remember = [this](const StatusEvent& event) { passed_.push_back(event); };
  const auto patience = std::min(context_->answer_timeout, longest_catching_up);
  const auto subscribed =
      client_.ask<answer::Subscribe>(request::Subscribe{}, deadline_in(patience), remember);
  if (subscribed) progress.news_begins_after(subscribed->seq);
  for (const StatusEvent& event : std::exchange(passed_, {})) progress.show(event);
  const bool is_strange = !subscribed && subscribed.error().kind == Kind::garbage;
  if (is_strange) return std::unexpected(report(subscribed.error()));
  return {};
}

// Whatever wakes: a signal, or an output that has no reader any more. The exit code, if it is to end.
std::optional<int> Session::handle_wake(Progress& progress) {
  if (const auto number = progress.handle_signals()) return by_signal + *number;
  pollfd output{.fd = context_->out.descriptor(), .events = 0, .revents = 0};
  if (progress.needs_reader() && poll(&output, 1, 0) > 0) return failed;
  return std::nullopt;
}

ClientResult<int> Session::follow(Progress& progress, const Deadline& deadline, const OnFrame& on_frame) {
  return follow_frames(progress, deadline, [&](const Frame& frame) {
    if (const auto* event = std::get_if<StatusEvent>(&frame)) progress.show(*event);
    return on_frame(frame);
  });
}

ClientResult<int> Session::follow_frames(Progress& progress, const Deadline& deadline,
                                         const OnFrame& on_frame) {
  client_.stop_waking();
  if (progress.needs_reader()) client_.wake_on(context_->out.descriptor(), 0);
  if (progress.signal_descriptor() >= 0) client_.wake_on(progress.signal_descriptor(), POLLIN);
  while (true) {
    if (!client_.has_frame()) progress.flush();
    if (context_->out.has_failed()) return failed;
    const auto frame = client_.read_frame(earlier(deadline, progress.next_tick()));
    if (!frame && frame.error().kind == Kind::woken) {
      if (const auto code = handle_wake(progress)) return *code;
      continue;
    }
    if (has_passed(progress.next_tick())) progress.tick();
    if (!frame && frame.error().kind == Kind::timed_out && !has_passed(deadline)) continue;
    if (!frame) return std::unexpected(frame.error());
    if (const auto code = on_frame(*frame)) return *code;
    // Events without end must not keep the deadline from passing.
    if (!client_.has_frame() && has_passed(deadline)) return std::unexpected(timed_out_error());
  }
}

bool Session::reconnect() {
  auto client = Client::connect(socket_, deadline_in(std::min(context_->answer_timeout, longest_connect)));
  if (client) client_ = std::move(*client);
  return client.has_value();
}

std::optional<int> Session::pause(Progress& progress, std::chrono::milliseconds duration) {
  const Deadline deadline = deadline_in(duration);
  while (!has_passed(deadline)) {
    progress.flush();
    // poll(2) passes over descriptors below 0.
    pollfd polled[] = {
        {.fd = progress.needs_reader() ? context_->out.descriptor() : -1, .events = 0, .revents = 0},
        {.fd = progress.signal_descriptor(), .events = POLLIN, .revents = 0}};
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(*deadline - std::chrono::steady_clock::now());
    if (poll(polled, std::size(polled), static_cast<int>(std::max<std::int64_t>(left.count(), 0))) <= 0)
      continue;
    if (const auto code = handle_wake(progress)) return code;
  }
  return std::nullopt;
}

int Session::report(const ClientError& error) {
  if (error.kind == Kind::refused && context_->options.json) context_->out.write(client_.line() + "\n");
  context_->complain(explain(error));
  return failed;
}

std::string Session::explain(const ClientError& error) {
  switch (error.kind) {
    case Kind::closed:
      return fmt::format("the daemon at {} has ended the connection", socket_);
    case Kind::timed_out:
      return fmt::format("the daemon at {} has not answered in time", socket_);
    case Kind::garbage:
      return explain_strange_daemon(error);
    case Kind::refused:
      if (error.error.code == ErrorCode::unknown_type) return explain_strange_daemon(error);
      return error.error.message;
    case Kind::no_daemon:
    case Kind::woken:
    case Kind::failed:
      break;
  }
  return error.error.message;
}

// Another program may listen there, or a daemon of another protocol: the latter says so when asked.
std::string Session::explain_strange_daemon(const ClientError& error) {
  client_.stop_waking();
  const auto patience = std::min(context_->answer_timeout, std::chrono::milliseconds(1000));
  const auto ping = client_.ask<answer::Ping>(request::Ping{}, deadline_in(patience));
  if (ping && ping->protocol != protocol_version) {
    return fmt::format(
        "the daemon at {} is ggufd {}, which speaks protocol {}; this ggufctl speaks {}: use the ggufctl "
        "that came with that daemon",
        socket_, ping->version, ping->protocol, protocol_version);
  }
  if (error.kind == Kind::refused) return error.error.message;
  if (ping) return fmt::format("the daemon at {} is not understood: {}", socket_, error.error.message);
  return fmt::format("what answers at {} does not speak the protocol of ggufd: {}", socket_,
                     error.error.message);
}

}  // namespace ggufd::ctl
