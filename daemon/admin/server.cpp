#include "admin/server.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "protocol/utf8.h"

namespace ggufd::admin {

namespace {

// Descriptors that are kept for everything but clients: files, transfers, sockets of engines.
constexpr std::uint64_t max_kept_descriptors = 256;
// What is kept for a request until its answer, besides its id: a guess that is not too small.
constexpr std::size_t request_bytes = 512;

std::uint64_t descriptor_limit() {
  rlimit files{};
  return getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur : RLIM_INFINITY;
}

// Root may give a file to any group, everybody else to those that they are in.
bool may_give_to(gid_t group) {
  if (geteuid() == 0 || getegid() == group) return true;
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(getgroups(0, nullptr), 0)));
  const int count = getgroups(static_cast<int>(groups.size()), groups.data());
  groups.resize(static_cast<std::size_t>(std::max(count, 0)));
  return std::ranges::count(groups, group) > 0;
}

void tell_exhausted(const Error& error) {
  spdlog::warn("admin: connections have to wait: {}", error.message);
}

// "load of qwen3-4b"; verbs that name no model stand alone.
std::string what_is_asked(const Request& request) {
  const std::string_view verb = name_of(verb_of(request));
  return std::visit(
      [&](const auto& body) -> std::string {
        std::optional<std::string> model;
        if constexpr (requires { body.model; }) model = body.model;
        return model ? fmt::format("{} of {}", verb, utf8_prefix(*model, max_shown_bytes))
                     : std::string(verb);
      },
      request.body);
}

}  // namespace

bool is_served(const config::AdminConfig& config, const loop::PeerCredentials& peer,
               const std::vector<gid_t>& groups, uid_t own_uid) {
  const auto is_allowed = [&](gid_t group) { return std::ranges::count(config.allow_gids, group) > 0; };
  return peer.uid == 0 || peer.uid == own_uid || std::ranges::count(config.allow_uids, peer.uid) > 0 ||
         is_allowed(peer.gid) || std::ranges::any_of(groups, is_allowed);
}

bool serves_others(const config::AdminConfig& config) {
  return !config.allow_uids.empty() || !config.allow_gids.empty();
}

loop::SocketAccess socket_access(const config::AdminConfig& config) {
  if (!serves_others(config)) return {};
  const bool is_for_one_group = config.allow_uids.empty() && config.allow_gids.size() == 1;
  if (is_for_one_group && may_give_to(config.allow_gids.front())) {
    return {.mode = 0660, .group = config.allow_gids.front()};
  }
  return {.mode = 0666};
}

std::uint64_t subscriber_limit(std::uint64_t max_subscribers, std::uint64_t descriptors) {
  return std::min(max_subscribers, descriptors - std::min(max_kept_descriptors, descriptors / 8));
}

Server::Server(loop::Loop& loop, config::AdminConfig config, StatusLog& log, Patience patience)
    : loop_(loop),
      config_(std::move(config)),
      log_(log),
      patience_(patience),
      max_subscribers_(subscriber_limit(config_.max_subscribers, descriptor_limit())),
      watch_timer_(loop, [this] { watch(); }),
      close_timer_(loop, [this] {
        for (const auto& [id, subscriber] : subscribers_) drop_soon(*subscriber);
      }) {}

Result<void> Server::listen(const std::string& path, RequestHandler& handler) {
  return serve_on(
      loop::Listener::listen(loop_, path, on_connection(), socket_access(config_), tell_exhausted), handler);
}

Result<void> Server::adopt(int fd, RequestHandler& handler) {
  return serve_on(loop::Listener::adopt(loop_, fd, on_connection(), tell_exhausted), handler);
}

Result<void> Server::serve_on(Result<std::unique_ptr<loop::Listener>> listener, RequestHandler& handler) {
  if (!listener) return std::unexpected(listener.error());
  handler_ = &handler;
  listener_ = std::move(*listener);
  return {};
}

loop::Listener::OnConnection Server::on_connection() {
  return [this](std::unique_ptr<loop::Stream> stream, loop::PeerCredentials peer) {
    accept(std::move(stream), peer);
  };
}

void Server::accept(std::unique_ptr<loop::Stream> stream, const loop::PeerCredentials& peer) {
  if (!is_served(*stream, peer)) {
    return refusals_.warn(loop_.now_ms(),
                          fmt::format("a connection of uid {} (pid {}) is refused; admin.allow_uids and "
                                      "allow_gids say who is served",
                                      peer.uid, peer.pid));
  }
  if (subscribers_.size() >= max_subscribers_) return refuse(*stream, peer);
  const std::uint64_t id = next_id_++;
  spdlog::debug("admin: connection {} of uid {}, pid {}", id, peer.uid, peer.pid);
  SubscriberOwner& self = *this;
  subscribers_.emplace(
      id, std::make_unique<Subscriber>(id, loop_, std::move(stream), peer, log_, patience_, self));
}

bool Server::is_served(const loop::Stream& stream, const loop::PeerCredentials& peer) const {
  if (admin::is_served(config_, peer, {}, geteuid())) return true;
  return !config_.allow_gids.empty() && admin::is_served(config_, peer, stream.peer_groups(), geteuid());
}

// It gets a reason before its end of file, as an event that is nobody else's: who does not know it, passes
// over it.
void Server::refuse(loop::Stream& stream, const loop::PeerCredentials& peer) {
  const std::string reason = fmt::format(
      "ggufd serves {} connections, as many as admin.max_subscribers and its limit of open files allow; "
      "close one, or try again",
      subscribers_.size());
  std::string line =
      encoded(StatusEvent{.status = status::Warning{std::string(name_of(ErrorCode::busy)), reason}});
  const iovec piece{line.data(), line.size()};
  static_cast<void>(stream.try_write({&piece, 1}));
  refusals_.warn(loop_.now_ms(), fmt::format("a connection of pid {} is refused: {}", peer.pid, reason));
}

void Server::on_line(Subscriber& from, std::string_view line) {
  auto request = decode_request(line);
  if (!request) {
    spdlog::debug("admin: connection {}: {}", from.id(), request.error().error.message);
    return reply_to(from, std::nullopt, request.error().id, std::unexpected(request.error().error));
  }
  dispatch(from, std::move(*request));
}

void Server::dispatch(Subscriber& from, Request request) {
  if (const auto* subscribe = std::get_if<request::Subscribe>(&request.body)) {
    return this->subscribe(from, request.id, *subscribe);
  }
  if (std::holds_alternative<request::Unsubscribe>(request.body)) {
    from.unsubscribe();
    return reply_to(from, Verb::unsubscribe, request.id, AnswerBody(answer::Done{}));
  }
  const Verb verb = verb_of(request);
  if (verb != Verb::ping && verb != Verb::status) {
    spdlog::info("admin: {} asked for by uid {}, pid {}", what_is_asked(request), from.peer().uid,
                 from.peer().pid);
  }
  std::string id = request.id;
  if (from.open_requests() >= max_open_requests) {
    return reply_to(
        from, verb, id,
        fail(ErrorCode::busy, fmt::format("{} requests of this connection wait for their answers; "
                                          "ask again when one has come",
                                          max_open_requests)));
  }
  const std::size_t held_bytes = request_bytes + id.size();
  from.request_began(held_bytes);
  const loop::PeerCredentials& peer = from.peer();
  // The client may be gone before its answer is there.
  Reply reply(
      [this, verb, subscriber_id = from.id(), held_bytes,
       id = std::move(id)](const Result<AnswerBody>& answer) {
        count_answer(verb, answer);
        Subscriber* asker = find(subscriber_id);
        if (asker == nullptr) return;
        asker->request_ended(held_bytes);
        asker->answer(id, answer);
      },
      from.alive());
  handler_->handle(std::move(request), peer, std::move(reply));
}

void Server::subscribe(Subscriber& from, const std::string& id, const request::Subscribe& request) {
  Filter filter{.progress = request.progress.value_or(true)};
  if (request.models) {
    if (const auto unknown = handler_->unknown_model(*request.models)) {
      return reply_to(from, Verb::subscribe, id,
                      fail(ErrorCode::unknown_model,
                           fmt::format("no model \"{}\" is configured; `ggufctl status` lists them",
                                       utf8_prefix(*unknown, max_shown_bytes))));
    }
    filter.models.insert(request.models->begin(), request.models->end());
  }
  from.subscribe(id, log_.seq(), request.since, std::move(filter));
  count_answer(Verb::subscribe, AnswerBody(answer::Subscribe{}));
}

void Server::reply_to(Subscriber& to, std::optional<Verb> verb, const std::string& id,
                      const Result<AnswerBody>& answer) {
  count_answer(verb, answer);
  to.answer(id, answer);
}

void Server::count_answer(std::optional<Verb> verb, const Result<AnswerBody>& answer) {
  const auto error = answer ? std::nullopt : std::optional(answer.error().code);
  ++answers_[{verb, error}];
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
      subscriber->flush(gathered_);
      needs_watch |= subscriber->needs_watch();
    }
  }
  for (const std::uint64_t id : std::exchange(to_flush_, {})) {
    Subscriber* subscriber = find(id);
    if (subscriber == nullptr) continue;
    subscriber->flush(gathered_);
    needs_watch |= subscriber->needs_watch();
  }
  for (const std::uint64_t id : std::exchange(to_drop_, {})) subscribers_.erase(id);
  while (held_bytes_ > max_held_bytes) close_greediest();
  if (needs_watch && !watch_timer_.is_running()) watch_timer_.start_once(patience_.watch_interval_ms);
  if (on_closed_ && subscribers_.empty()) {
    close_timer_.stop();
    watch_timer_.stop();
    std::exchange(on_closed_, nullptr)();
  }
}

void Server::held_bytes_changed(std::ptrdiff_t change) {
  held_bytes_ += static_cast<std::size_t>(change);
  if (held_bytes_ > max_held_bytes) turn_ends_soon();
}

// The sum is what it is because of this one more than of any other.
void Server::close_greediest() {
  const auto greediest = std::ranges::max_element(
      subscribers_, {}, [](const auto& entry) { return entry.second->held_bytes(); });
  const Subscriber& closed = *greediest->second;
  refusals_.warn(
      loop_.now_ms(),
      fmt::format("connection {} of pid {} is closed: clients make the daemon hold {} bytes, and this "
                  "one {} of them",
                  closed.id(), closed.peer().pid, held_bytes_, closed.held_bytes()));
  subscribers_.erase(greediest);
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
