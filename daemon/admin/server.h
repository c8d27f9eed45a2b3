// The admin socket: accepts, checks who it is, and keeps the subscribers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "admin/status_log.h"
#include "admin/subscriber.h"
#include "config/config.h"
#include "loop/listener.h"
#include "loop/timer.h"

namespace ggufd::admin {

// Answers requests; the answer may come now or later.
class RequestHandler {
 public:
  using Reply = std::move_only_function<void(const Result<AnswerBody>&)>;
  virtual void handle(Request request, const loop::PeerCredentials& from, Reply reply) = 0;

 protected:
  ~RequestHandler() = default;
};

// Whether `peer` is served by a daemon of `own_uid`: as the kernel says, not as the client does.
bool is_served(const config::AdminConfig& config, const loop::PeerCredentials& peer, uid_t own_uid);

class Server final : private SubscriberOwner {
 public:
  // Requests of one connection that may wait for their answers at a time; one more is `busy`.
  static constexpr std::size_t max_open_requests = 1024;

  Server(loop::Loop& loop, config::AdminConfig config, StatusLog& log, Patience patience = {});

  // Binds `path`, which must be free. Requests before set_handler() are not read.
  Result<void> listen(const std::string& path, RequestHandler& handler);

  // Something was published: every subscriber is flushed once, at the end of the turn.
  void published();
  std::uint64_t subscribers() const;

  // Takes nobody new and ends every connection once what it is owed is written; on_closed comes when all are
  // gone. Who does not read is cut off after `limit_ms`.
  void close(std::uint64_t limit_ms, std::function<void()> on_closed);

 private:
  void on_line(Subscriber& from, std::string_view line) override;
  void flush_soon(Subscriber& subscriber) override;
  void drop_soon(Subscriber& subscriber) override;

  void accept(std::unique_ptr<loop::Stream> stream, const loop::PeerCredentials& peer);
  void dispatch(Subscriber& from, Request request);
  Subscriber* find(std::uint64_t id) const;
  void turn_ends_soon();
  void end_turn();
  void watch();

  loop::Loop& loop_;
  const config::AdminConfig config_;
  StatusLog& log_;
  const Patience patience_;
  RequestHandler* handler_ = nullptr;
  std::unique_ptr<loop::Listener> listener_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Subscriber>> subscribers_;
  std::uint64_t next_id_ = 1;

  std::vector<std::uint64_t> to_flush_;
  std::vector<std::uint64_t> to_drop_;
  bool flush_all_ = false;
  bool turn_end_is_due_ = false;
  const std::shared_ptr<char> alive_ = std::make_shared<char>();  // for the task that may outlive us
  loop::Timer watch_timer_;
  loop::Timer close_timer_;
  std::function<void()> on_closed_;
};

}  // namespace ggufd::admin
