#include "admin/server.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace ggufd::admin {

bool is_served(const config::AdminConfig& config, const loop::PeerCredentials& peer, uid_t own_uid) {
  return peer.uid == 0 || peer.uid == own_uid || std::ranges::count(config.allow_uids, peer.uid) > 0 ||
         std::ranges::count(config.allow_gids, peer.gid) > 0;
}

Server::Server(loop::Loop& loop, config::AdminConfig config, StatusLog& log, Patience patience)
    : loop_(loop),
      config_(std::move(config)),
      log_(log),
      patience_(patience),
      watch_timer_(loop, [this] { watch(); }),
      close_timer_(loop, [this] {
        for (const auto& [id, subscriber] : subscribers_) drop_soon(*subscriber);
      }) {}

Result<void> Server::listen(const std::string& path, RequestHandler& handler) {
  handler_ = &handler;
  auto listener = loop::Listener::listen(
      loop_, path, [this](std::unique_ptr<loop::Stream> stream, loop::PeerCredentials peer) {
        accept(std::move(stream), peer);
      });
  if (!listener) return std::unexpected(listener.error());
  listener_ = std::move(*listener);
  return {};
}

void Server::accept(std::unique_ptr<loop::Stream> stream, const loop::PeerCredentials& peer) {
  if (!is_served(config_, peer, geteuid())) {
    spdlog::warn(
        "admin: a connection of uid {} (pid {}) is refused; admin.allow_uids and allow_gids say who is "
        "served",
        peer.uid, peer.pid);
    return;
  }
  if (subscribers_.size() >= config_.max_subscribers) {
    spdlog::warn(
        "admin: a connection of pid {} is refused: there are {}, as many as admin.max_subscribers allows",
        peer.pid, subscribers_.size());
    return;
  }
  const std::uint64_t id = next_id_++;
  spdlog::debug("admin: connection {} of uid {}, pid {}", id, peer.uid, peer.pid);
  SubscriberOwner& self = *this;
  subscribers_.emplace(
      id, std::make_unique<Subscriber>(id, loop_, std::move(stream), peer, log_, patience_, self));
}

void Server::on_line(Subscriber& from, std::string_view line) {
  auto request = decode_request(line);
  if (!request) {
    spdlog::debug("admin: connection {}: {}", from.id(), request.error().error.message);
    return from.answer(request.error().id, std::unexpected(request.error().error));
  }
  dispatch(from, std::move(*request));
}

void Server::dispatch(Subscriber& from, Request request) {
  if (const auto* subscribe = std::get_if<request::Subscribe>(&request.body)) {
    Subscriber::Filter filter{.progress = subscribe->progress.value_or(true)};
    if (subscribe->models) filter.models.insert(subscribe->models->begin(), subscribe->models->end());
    return from.subscribe(request.id, subscribe->since, std::move(filter));
  }
  if (std::holds_alternative<request::Unsubscribe>(request.body)) {
    from.unsubscribe();
    return from.answer(request.id, AnswerBody(answer::Done{}));
  }
  const Verb verb = verb_of(request);
  if (verb != Verb::ping && verb != Verb::status) {
    spdlog::info("admin: {} asked for by uid {}, pid {}", name_of(verb), from.peer().uid, from.peer().pid);
  }
  std::string id = request.id;
  if (from.open_requests() >= max_open_requests) {
    return from.answer(
        id, fail(ErrorCode::busy, fmt::format("{} requests of this connection wait for their answers; "
                                              "ask again when one has come",
                                              max_open_requests)));
  }
  from.request_began();
  // The client may be gone before its answer is there.
  handler_->handle(std::move(request), from.peer(),
                   [this, subscriber_id = from.id(), id = std::move(id)](const Result<AnswerBody>& answer) {
                     Subscriber* asker = find(subscriber_id);
                     if (asker == nullptr) return;
                     asker->request_ended();
                     asker->answer(id, answer);
                   });
}

Subscriber* Server::find(std::uint64_t id) const {
  const auto found = subscribers_.find(id);
  return found == subscribers_.end() ? nullptr : found->second.get();
}

std::uint64_t Server::subscribers() const {
  return static_cast<std::uint64_t>(
      std::ranges::count_if(subscribers_, [](const auto& entry) { return entry.second->gets_events(); }));
}

void Server::published() {
  flush_all_ = true;
  turn_ends_soon();
}

void Server::flush_soon(Subscriber& subscriber) {
  to_flush_.push_back(subscriber.id());
  turn_ends_soon();
}

void Server::drop_soon(Subscriber& subscriber) {
  to_drop_.push_back(subscriber.id());
  turn_ends_soon();
}

void Server::turn_ends_soon() {
  if (std::exchange(turn_end_is_due_, true)) return;
  loop_.at_end_of_turn([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) end_turn();
  });
}

// The only place where subscribers are written to and freed.
void Server::end_turn() {
  turn_end_is_due_ = false;
  bool needs_watch = false;
  if (std::exchange(flush_all_, false)) {
    to_flush_.clear();
    for (const auto& [id, subscriber] : subscribers_) {
      subscriber->flush();
      needs_watch |= subscriber->needs_watch();
    }
  }
  for (const std::uint64_t id : std::exchange(to_flush_, {})) {
    Subscriber* subscriber = find(id);
    if (subscriber == nullptr) continue;
    subscriber->flush();
    needs_watch |= subscriber->needs_watch();
  }
  for (const std::uint64_t id : std::exchange(to_drop_, {})) subscribers_.erase(id);
  if (needs_watch && !watch_timer_.is_running()) watch_timer_.start_once(patience_.watch_interval_ms);
  if (on_closed_ && subscribers_.empty()) {
    close_timer_.stop();
    watch_timer_.stop();
    std::exchange(on_closed_, nullptr)();
  }
}

// Runs only while somebody needs it: an idle daemon sleeps.
void Server::watch() {
  bool needs_watch = false;
  for (const auto& [id, subscriber] : subscribers_) {
    if (!subscriber->needs_watch()) continue;
    needs_watch = true;
    if (!subscriber->outlives(loop_.now_ms())) drop_soon(*subscriber);
  }
  if (needs_watch) watch_timer_.start_once(patience_.watch_interval_ms);
}

void Server::close(std::uint64_t limit_ms, std::function<void()> on_closed) {
  listener_.reset();
  on_closed_ = std::move(on_closed);
  close_timer_.start_once(limit_ms);
  for (const auto& [id, subscriber] : subscribers_) subscriber->close_when_written();
  turn_ends_soon();
}

}  // namespace ggufd::admin
