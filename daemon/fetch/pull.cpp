#include "fetch/pull.h"

#include <fmt/core.h>

#include <algorithm>
#include <list>
#include <map>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "fetch/pull_run.h"

namespace ggufd::fetch {
namespace {

// What two requests must agree in to be one: the digest or, where that is not known, the preferred source.
std::string key_of(const PullRequest& request) {
  if (request.digest) return request.digest->to_hex();
  const config::Source& source = request.sources.front();
  // With its query, which may be what tells two files from each other. Never shown.
  if (const auto* url = std::get_if<config::UrlSource>(&source.where)) return url->url;
  return config::to_string(source);
}

// Calls tell(ticket) for each, but for those that have been destroyed by one that was told before.
template <class Tickets, class Tell>
void tell_each(const Tickets& tickets, Tell tell) {
  std::vector<std::pair<typename Tickets::value_type, std::weak_ptr<int>>> told;
  for (const auto ticket : tickets) told.emplace_back(ticket, ticket->alive());
  for (const auto& [ticket, alive] : told) {
    if (!alive.expired()) tell(*ticket);
  }
}

}  // namespace

struct Pulls::Shared : std::enable_shared_from_this<Pulls::Shared> {
  // One pull and those who wait for it.
  struct Entry {
    std::unique_ptr<PullRun> run;
    std::list<Ticket*> tickets;
    std::optional<LoadPhase> phase;  // the last that was told
  };

  loop::Loop& loop;
  std::map<std::string, std::shared_ptr<Entry>> entries;
  std::vector<std::shared_ptr<Entry>> gone;  // have ended or been left this very turn

  explicit Shared(loop::Loop& its_loop) : loop(its_loop) {}

  void end(const std::string& key, const Entry& entry, const Result<Pulled>& result);
  void leave(const std::string& key, Ticket& ticket);
  // A run may be calling just now: it is destroyed when the turn ends, or with the Pulls.
  void let_go(std::shared_ptr<Entry> entry) {
    gone.push_back(std::move(entry));
    loop.at_end_of_turn([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->gone.clear();
    });
  }
};

class Pulls::Ticket final : public loop::Operation {
 public:
  Ticket(std::shared_ptr<Shared> shared, std::string key, PullCallbacks callbacks)
      : shared_(std::move(shared)), key_(std::move(key)), callbacks_(std::move(callbacks)) {}
  ~Ticket() override { leave(); }

  void cancel() override {
    shared_->loop.at_end_of_turn([this, alive = std::weak_ptr<int>(alive_)] {
      if (alive.expired()) return;
      leave();
      end(fail(ErrorCode::cancelled, "the download was cancelled"));
    });
  }

  void phase(const LoadPhase& phase) const {
    if (callbacks_.on_done) callbacks_.on_phase(phase);
  }
  void warn(const std::string& code, const std::string& message) const {
    if (callbacks_.on_done) callbacks_.on_warning(code, message);
  }
  // May destroy this.
  void end(Result<Pulled> result) {
    has_left_ = true;
    if (auto on_done = std::exchange(callbacks_.on_done, nullptr)) on_done(std::move(result));
  }
  std::weak_ptr<int> alive() const { return alive_; }

 private:
  void leave() {
    if (!std::exchange(has_left_, true)) shared_->leave(key_, *this);
  }

  std::shared_ptr<Shared> shared_;
  std::string key_;
  PullCallbacks callbacks_;
  bool has_left_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

// A run whose last waiter has left this very turn has nobody to tell; others may have begun anew under its
// key.
void Pulls::Shared::end(const std::string& key, const Entry& ended, const Result<Pulled>& result) {
  const auto found = entries.find(key);
  if (found == entries.end() || found->second.get() != &ended) return;
  const std::shared_ptr<Entry> entry = std::move(found->second);
  entries.erase(found);
  let_go(entry);
  tell_each(std::exchange(entry->tickets, {}), [&](Ticket& ticket) { ticket.end(result); });
}

// Nobody is left: what has arrived is kept, and the run ends. Not from inside one of its own callbacks.
void Pulls::Shared::leave(const std::string& key, Ticket& ticket) {
  const auto found = entries.find(key);
  if (found == entries.end()) return;
  std::list<Ticket*>& tickets = found->second->tickets;
  const auto place = std::ranges::find(tickets, &ticket);
  if (place == tickets.end()) return;
  tickets.erase(place);
  if (!tickets.empty()) return;
  let_go(std::move(found->second));
  entries.erase(found);
}

Pulls::Pulls(FetchServices& services)
    : services_(services), shared_(std::make_shared<Shared>(services.loop)) {}

Pulls::~Pulls() {
  shared_->entries.clear();
  shared_->gone.clear();
}

loop::OperationPtr Pulls::join(PullRequest request, PullCallbacks callbacks) {
  const std::string key = key_of(request);
  auto ticket = std::make_unique<Ticket>(shared_, key, std::move(callbacks));
  std::shared_ptr<Shared::Entry>& entry = shared_->entries[key];
  if (!entry) {
    entry = std::make_shared<Shared::Entry>();
    // The entry outlives its run; what the run tells goes to those who wait then.
    Shared::Entry& each = *entry;
    entry->run = std::make_unique<PullRun>(
        services_, std::move(request),
        PullCallbacks{
            .on_phase =
                [&each](const LoadPhase& phase) {
                  each.phase = phase;
                  tell_each(each.tickets, [&](const Ticket& waiter) { waiter.phase(phase); });
                },
            .on_warning =
                [&each](const std::string& code, const std::string& message) {
                  tell_each(each.tickets, [&](const Ticket& waiter) { waiter.warn(code, message); });
                },
            .on_done =
                [shared = std::weak_ptr<Shared>(shared_), key, &each](const Result<Pulled>& result) {
                  if (const auto all = shared.lock()) all->end(key, each, result);
                }});
  } else if (entry->phase) {
    // Who comes later sees at once how far it is then.
    services_.loop.at_end_of_turn(
        [waiter = ticket.get(), alive = ticket->alive(), joined = std::weak_ptr<Shared::Entry>(entry)] {
          const auto still = joined.lock();
          if (!alive.expired() && still) waiter->phase(*still->phase);
        });
  }
  entry->tickets.push_back(ticket.get());
  return ticket;
}

}  // namespace ggufd::fetch
