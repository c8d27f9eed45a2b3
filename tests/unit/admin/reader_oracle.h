// What a reader must be told, worked out from the rules of docs/protocol.md alone: kept apart from the log
// and the cursor, which are held against it.
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "admin/cursor.h"
#include "admin/status_log.h"
#include "protocol/frame.h"

namespace ggufd::admin::test {

// Everything that was published, in plain lists.
class History {
 public:
  struct Event {
    std::string line;
    std::optional<std::string> model;
    bool is_change = true;
    bool is_superseded = false;
    std::size_t changes = 0;  // up to and with this one
  };

  // `line` is how the event with the next number reads.
  void published(const std::optional<std::string>& model, const Status& status, std::string line) {
    Event& event = events_.emplace_back(Event{.line = std::move(line), .model = model});
    if (model) {
      remember(models_[*model], status, event);
    } else if (kind_of(status) == StatusKind::draining) {
      draining_ = event.line;
    } else if (kind_of(status) == StatusKind::starting) {
      starting_ = event.line;
    }
    changes_ += event.is_change ? 1 : 0;
    event.changes = changes_;
  }

  std::uint64_t last_seq() const { return events_.size(); }
  std::size_t changes() const { return changes_; }
  const Event& at(std::uint64_t seq) const { return events_.at(seq - 1); }
  std::size_t changes_after(std::uint64_t seq) const { return changes_ - (seq == 0 ? 0 : at(seq).changes); }

  // The lines that a new reader gets; of these models only, where some are named.
  std::vector<std::string> snapshot(const std::set<std::string, std::less<>>& names = {}) const {
    if (!draining_.empty()) return {draining_};
    std::vector<std::string> lines;
    std::vector<std::string> statuses;
    for (const auto& [name, model] : models_) {
      if (!names.empty() && !names.contains(name)) continue;
      if (!model.capabilities.empty()) lines.push_back(model.capabilities);
      if (!model.status.empty() && name != "b") statuses.push_back(model.status);
    }
    const auto main = models_.find("b");
    const bool wants_main = names.empty() || names.contains("b");
    if (main != models_.end() && wants_main && !main->second.status.empty()) {
      statuses.push_back(main->second.status);
    }
    if (statuses.empty() && !starting_.empty()) statuses.push_back(starting_);
    lines.insert(lines.end(), statuses.begin(), statuses.end());
    return lines;
  }

 private:
  struct Model {
    std::string capabilities;
    std::string status;
    std::optional<std::pair<StatusKind, PhaseKind>> phase;
    std::uint64_t last_progress = 0;
  };

  void remember(Model& model, const Status& status, Event& event) {
    const StatusKind kind = kind_of(status);
    if (kind == StatusKind::warning) return;
    if (kind == StatusKind::capabilities) {
      model.capabilities = event.line;
      return;
    }
    if (kind == StatusKind::error || kind == StatusKind::unloaded) model.capabilities.clear();
    model.status = event.line;
    const StatusEvent told{.status = status};
    const LoadPhase* phase = phase_of(told);
    const auto now = phase != nullptr ? std::optional(std::pair(kind, kind_of(*phase))) : std::nullopt;
    event.is_change = !now || now != model.phase;
    model.phase = now;
    if (event.is_change) {
      model.last_progress = 0;
      return;
    }
    if (model.last_progress != 0) events_[model.last_progress - 1].is_superseded = true;
    model.last_progress = events_.size();
  }

  std::deque<Event> events_;  // event seq is at seq - 1
  std::map<std::string, Model> models_;
  std::string starting_;
  std::string draining_;
  std::size_t changes_ = 0;
};

// One reader's dues. Every line that it gets is checked against them.
class ReaderOracle {
 public:
  explicit ReaderOracle(const History& history) : history_(history), last_seq_(history.last_seq()) {
    expect(history.snapshot());
  }

  void published(std::uint64_t seq) { expect_event(seq); }
  void told(const std::string& line) { dues_.push_back({.line = line}); }
  void unsubscribed() {
    gets_events_ = false;
    let_pending_go();
  }
  void subscribed(const std::string& answer, std::optional<std::uint64_t> since, const Filter& filter) {
    const std::uint64_t last = history_.last_seq();
    gets_events_ = true;
    filter_ = filter;
    // What it has not been told yet is judged by the new wish.
    let_pending_go();
    told(answer);
    if (!since) return;
    if (*since > last || last - *since > StatusLog::kept_events) {
      expect_lagged(*since < last ? last - *since : last);
      return;
    }
    for (std::uint64_t seq = *since + 1; seq <= last; ++seq) expect_event(seq);
    last_seq_ = *since;
    is_replayed_until_ = last;
  }

  // Whether the socket took less than there was, or the reader has everything.
  void fell_behind() { is_behind_ = true; }
  void caught_up() { is_behind_ = false; }

  // It is told now that it has lagged: allowed only to one that is too far behind. Its events go, its answers
  // do not.
  std::optional<std::string> lagged() {
    const std::size_t behind = history_.changes_after(std::max(last_seq_, is_replayed_until_));
    const std::uint64_t events = history_.last_seq() - last_seq_;
    if (behind <= StatusLog::kept_changes && events <= StatusLog::kept_events) {
      return fmt::format("lagged, though {} changes and {} events behind", behind, events);
    }
    const auto missed =
        std::ranges::count_if(dues_, [&](const Due& due) { return due.seq != 0 && !may_be_missed(due); });
    let_pending_go();
    // One event may have been sent in part before, and is not missed.
    const std::uint64_t least = missed > 0 ? static_cast<std::uint64_t>(missed) - 1 : 0;
    dues_.push_back({.missed = std::pair(least, events)});
    expect(history_.snapshot(filter_.models));
    last_seq_ = history_.last_seq();
    return std::nullopt;
  }

  // Why the line is wrong; nothing where it is right.
  std::optional<std::string> got(const std::string& line) {
    while (!dues_.empty()) {
      const Due due = dues_.front();
      if (due.line == line || is_lagged(due, line)) {
        dues_.pop_front();
        if (due.seq != 0 && due.need != Need::open) last_seq_ = due.seq;
        if (due.need == Need::forbidden) return "unwanted: " + line;
        return std::nullopt;
      }
      if (!may_be_missed(due)) break;
      dues_.pop_front();
    }
    return fmt::format("{} came instead of {}", line, dues_.empty() ? "nothing" : dues_.front().line);
  }
  // What it should have got and has not, once it has taken everything.
  std::optional<std::string> outstanding() const {
    for (const Due& due : dues_) {
      if (!may_be_missed(due)) return due.line;
    }
    return std::nullopt;
  }

 private:
  // `open`: published before the reader changed its wish, and judged by the one or the other.
  enum class Need { due, open, forbidden };
  struct Due {
    std::string line;
    std::uint64_t seq = 0;  // 0: no event, for this reader only
    Need need = Need::due;
    std::optional<std::pair<std::uint64_t, std::uint64_t>> missed;  // of `lagged`: at least, at most
  };

  void expect(const std::vector<std::string>& lines) {
    for (const std::string& line : lines) told(line);
  }
  void expect_lagged(std::uint64_t missed) {
    told(encoded(StatusEvent{.status = status::Lagged{missed}}));
    expect(history_.snapshot(filter_.models));
    last_seq_ = history_.last_seq();
  }
  bool wants(const History::Event& event) const {
    if (!gets_events_ || !event.model) return gets_events_;
    return (filter_.models.empty() || filter_.models.contains(*event.model)) &&
           (event.is_change || filter_.progress);
  }
  void expect_event(std::uint64_t seq) {
    const History::Event& event = history_.at(seq);
    dues_.push_back({.line = event.line, .seq = seq, .need = wants(event) ? Need::due : Need::forbidden});
  }
  void let_pending_go() {
    for (Due& due : dues_) {
      if (due.seq != 0) due.need = Need::open;
    }
  }
  static bool is_lagged(const Due& due, const std::string& line) {
    if (!due.missed) return false;
    const auto frame = decode_frame(std::string_view(line).substr(0, line.size() - 1));
    const auto* event = frame ? std::get_if<StatusEvent>(&*frame) : nullptr;
    const auto* lagged = event != nullptr ? std::get_if<status::Lagged>(&event->status) : nullptr;
    return lagged != nullptr && lagged->missed >= due.missed->first && lagged->missed <= due.missed->second;
  }
  bool may_be_missed(const Due& due) const {
    if (due.need != Need::due) return true;
    if (due.seq == 0 || history_.at(due.seq).is_change || !history_.at(due.seq).is_superseded) return false;
    return is_behind_ || history_.last_seq() - due.seq >= StatusLog::kept_events;
  }
  const History& history_;
  std::deque<Due> dues_;
  Filter filter_;
  std::uint64_t last_seq_;  // of the last event that it has got, or that a snapshot stands for
  std::uint64_t is_replayed_until_ = 0;
  bool gets_events_ = true;
  bool is_behind_ = false;
};

}  // namespace ggufd::admin::test
