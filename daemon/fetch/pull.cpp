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
    std::vector<config::Source> sources;  // that the run asks
    std::unique_ptr<PullRun> run;
    std::list<Ticket*> tickets;
    std::optional<LoadPhase> phase;  // the last that was told
  };

  FetchServices& services;
  std::map<std::string, std::shared_ptr<Entry>> entries;
  std::vector<std::shared_ptr<Entry>> gone;  // have ended or been left this very turn

  explicit Shared(FetchServices& its_services) : services(its_services) {}

  // Joins the run of that key, or begins one with the request of the ticket.
  void join(const std::string& key, Ticket& ticket);
  std::shared_ptr<Entry> begin(const std::string& key, PullRequest request);
  void end(const std::string& key, const Entry& entry, const Result<Pulled>& result);
  void leave(const std::string& key, Ticket& ticket);
  // A run may be calling just now: it is destroyed when the turn ends, or with the Pulls.
  void let_go(std::shared_ptr<Entry> entry) {
    gone.push_back(std::move(entry));
    services.loop.at_end_of_turn([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->gone.clear();
    });
  }
};

class Pulls::Ticket final : public loop::Operation {
 public:
  Ticket(std::shared_ptr<Shared> shared, std::string key, PullRequest request, PullCallbacks callbacks)
      : shared_(std::move(shared)),
        key_(std::move(key)),
        request_(std::move(request)),
        callbacks_(std::move(callbacks)) {}
  ~Ticket() override { leave(); }

  void cancel() override {
    shared_->services.loop.at_end_of_turn([this, alive = std::weak_ptr<int>(alive_)] {
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
  const PullRequest& request() const { return request_; }

 private:
  void leave() {
    if (!std::exchange(has_left_, true)) shared_->leave(key_, *this);
  }

  std::shared_ptr<Shared> shared_;
  std::string key_;
  PullRequest request_;
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
  tell_each(std::exchange(entry->tickets, {}), [&](Ticket& ticket) {
    const bool has_other_sources = ticket.request().sources != entry->sources;
    if (result || !has_other_sources) return ticket.end(result);
    // Somebody else's source has failed, not the one that this was asked to come from.
    const std::weak_ptr<int> alive = ticket.alive();
    ticket.warn(
        "download_restarted",
        fmt::format(
            "the download of the same bytes that this one had joined has failed ({}); they are asked for "
            "at {} now",
            result.error().message, config::to_string(ticket.request().sources.front())));
    if (!alive.expired()) join(key, ticket);
  });
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

std::shared_ptr<Pulls::Shared::Entry> Pulls::Shared::begin(const std::string& key, PullRequest request) {
  auto entry = std::make_shared<Entry>();
  entry->sources = request.sources;
  // The entry outlives its run; what the run tells goes to those who wait then.
  Entry& each = *entry;
  entry->run = std::make_unique<PullRun>(
      services, std::move(request),
      PullCallbacks{.on_phase =
                        [&each](const LoadPhase& phase) {
                          each.phase = phase;
                          tell_each(each.tickets, [&](const Ticket& waiter) { waiter.phase(phase); });
                        },
                    .on_warning =
                        [&each](const std::string& code, const std::string& message) {
                          tell_each(each.tickets, [&](const Ticket& waiter) { waiter.warn(code, message); });
                        },
                    .on_done =
                        [shared = weak_from_this(), key, &each](const Result<Pulled>& result) {
                          if (const auto all = shared.lock()) all->end(key, each, result);
                        }});
  return entry;
}

void Pulls::Shared::join(const std::string& key, Ticket& ticket) {
  std::shared_ptr<Entry>& entry = entries[key];
  if (!entry) {
    entry = begin(key, ticket.request());
  } else if (entry->phase) {
    // Who comes later sees at once how far it is then.
    services.loop.at_end_of_turn(
        [waiter = &ticket, alive = ticket.alive(), joined = std::weak_ptr<Entry>(entry)] {
          const auto still = joined.lock();
          if (!alive.expired() && still) waiter->phase(*still->phase);
        });
  }
  entry->tickets.push_back(&ticket);
}

Pulls::Pulls(FetchServices& services) : shared_(std::make_shared<Shared>(services)) {}

Pulls::~Pulls() {
  shared_->entries.clear();
  shared_->gone.clear();
}

loop::OperationPtr Pulls::join(PullRequest request, PullCallbacks callbacks) {
  const std::string key = key_of(request);
  auto ticket = std::make_unique<Ticket>(shared_, key, std::move(request), std::move(callbacks));
  shared_->join(key, *ticket);
  return ticket;
}

}  // namespace ggufd::fetch
