// The admin socket: accepts, checks who it is, and keeps the subscribers.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "admin/rarely_logged.h"
#include "admin/request_handler.h"
#include "admin/status_log.h"
#include "admin/subscriber.h"
#include "config/config.h"
#include "loop/listener.h"
#include "loop/timer.h"

namespace ggufd::admin {

// Whether `peer`, who is also in `groups`, is served by a daemon of `own_uid`: as the kernel says, not as the
// client does.
bool is_served(const config::AdminConfig& config, const loop::PeerCredentials& peer,
               const std::vector<gid_t>& groups, uid_t own_uid);

// Whether anybody besides the daemon's own user and root is.
bool serves_others(const config::AdminConfig& config);

// Who may connect as far as the file system is concerned: the owner; or the one group that is served, where
// the socket can be given to it; or everybody, as the kernel says who it is once they have.
loop::SocketAccess socket_access(const config::AdminConfig& config);

// Connections that are taken: what the configuration allows, and so few that a process with so many
// descriptors keeps some for its work.
std::uint64_t subscriber_limit(std::uint64_t max_subscribers, std::uint64_t descriptors);

// How requests of one kind have ended; without a verb those that could not be read, without an error the
// good.
struct RequestOutcome {
  std::optional<Verb> verb;
  std::optional<ErrorCode> error;

  friend auto operator<=>(const RequestOutcome&, const RequestOutcome&) = default;
};

class Server final : private SubscriberOwner {
 public:
  // Requests of one connection that may wait for their answers at a time; one more is `busy`.
  static constexpr std::size_t max_open_requests = 1024;
  // What all clients together may make the daemon hold (Subscriber::held_bytes): above it, whoever holds most
  // is closed.
  static constexpr std::size_t max_held_bytes = std::size_t{64} << 20;

  Server(loop::Loop& loop, config::AdminConfig config, StatusLog& log, Patience patience = {});

  // Binds `path`, which must be free. Requests before set_handler() are not read.
  Result<void> listen(const std::string& path, RequestHandler& handler);
  // The same on a descriptor that a service manager has bound and listens on; it is ours from then on.
  Result<void> adopt(int fd, RequestHandler& handler);

  // Something was published: every subscriber is flushed once, at the end of the turn.
  void published();
  std::uint64_t subscribers() const;
  // Answers so far, by outcome.
  const std::map<RequestOutcome, std::uint64_t>& answers() const { return answers_; }
  // What all clients together make the daemon hold.
  std::size_t held_bytes() const { return held_bytes_; }

  // Takes nobody new and ends every connection once what it is owed is written; on_closed comes when all are
  // gone. Who does not read is cut off after `limit_ms`.
  void close(std::uint64_t limit_ms, std::function<void()> on_closed);

 private:
  void on_line(Subscriber& from, std::string_view line) override;
  void flush_soon(Subscriber& subscriber) override;
  void drop_soon(Subscriber& subscriber) override;
  void held_bytes_changed(std::ptrdiff_t change) override;

  Result<void> serve_on(Result<std::unique_ptr<loop::Listener>> listener, RequestHandler& handler);
  loop::Listener::OnConnection on_connection();
  void accept(std::unique_ptr<loop::Stream> stream, const loop::PeerCredentials& peer);
  bool is_served(const loop::Stream& stream, const loop::PeerCredentials& peer) const;
  void refuse(loop::Stream& stream, const loop::PeerCredentials& peer);
  void subscribe(Subscriber& from, const std::string& id, const request::Subscribe& request);
  void dispatch(Subscriber& from, Request request);
  void reply_to(Subscriber& to, std::optional<Verb> verb, const std::string& id,
                const Result<AnswerBody>& answer);
  void count_answer(std::optional<Verb> verb, const Result<AnswerBody>& answer);
  Subscriber* find(std::uint64_t id) const;
  void turn_ends_soon();
  void end_turn();
  void close_greediest();
  void watch();

  loop::Loop& loop_;
  const config::AdminConfig config_;
  StatusLog& log_;
  const Patience patience_;
  const std::uint64_t max_subscribers_;
  RequestHandler* handler_ = nullptr;
  std::unique_ptr<loop::Listener> listener_;
  std::size_t held_bytes_ = 0;
  std::map<RequestOutcome, std::uint64_t> answers_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Subscriber>> subscribers_;
  std::uint64_t next_id_ = 1;

  Gathered gathered_;
  std::vector<std::uint64_t> to_flush_;
  std::vector<std::uint64_t> to_drop_;
  bool flush_all_ = false;
  bool turn_end_is_due_ = false;
  const std::shared_ptr<char> alive_ = std::make_shared<char>();  // for the task that may outlive us
  RarelyLogged refusals_;
  loop::Timer watch_timer_;
  loop::Timer close_timer_;
  std::function<void()> on_closed_;
};

}  // namespace ggufd::admin
