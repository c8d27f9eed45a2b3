// The one log of events: each is encoded once, appended to a shared segment of memory, and read by every
// subscriber through a cursor of its own. Nothing is copied or queued for a subscriber.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "model/event_sink.h"
#include "protocol/status_event.h"

namespace ggufd::admin {

// Encoded frames, one behind the other. Written once, then read by whoever holds the pointer.
struct Segment {
  explicit Segment(std::size_t capacity_bytes)
      : bytes(std::make_unique_for_overwrite<char[]>(capacity_bytes)), capacity(capacity_bytes) {}

  std::unique_ptr<char[]> bytes;
  std::size_t capacity;
  std::size_t used = 0;
};
using SegmentPtr = std::shared_ptr<Segment>;

struct LogEntry {
  std::uint64_t seq = 0;
  std::uint64_t change_number = 0;  // changes published up to and with this entry
  SegmentPtr segment;
  std::uint32_t offset = 0;
  std::uint32_t size = 0;
  const std::string* model = nullptr;  // owned by the log; null for events of the daemon
  bool is_progress = false;            // within a phase; everything else is a change
  bool is_superseded = false;          // a progress whose place was taken by one of the same phase

  std::string_view line() const { return {segment->bytes.get() + offset, size}; }
};

class StatusLog final : public model::EventSink {
 public:
  // Events that a subscriber can go back to, and changes that one can be behind before it has lagged.
  static constexpr std::size_t kept_events = 4096;
  static constexpr std::size_t kept_changes = 1024;

  // on_published is called after each event; it must not publish.
  StatusLog(std::string default_model, std::function<void()> on_published);

  // Sees each event before on_published does, and each model that is forgotten; it must not publish either.
  struct Observer {
    std::function<void(const StatusEvent&)> on_event;
    std::function<void(const std::string& model)> on_forgotten;
  };
  void set_observer(Observer observer) { observer_ = std::move(observer); }

  void publish(const std::string& model, Status status) override;
  // The events that it had stay in memory as long as others do; the snapshot has nothing of it.
  void forget(const std::string& model) override;
  // Its status is the last of the snapshot; "" for none.
  void set_default_model(const std::string& model) { default_model_ = model; }
  // An event of the daemon itself.
  void publish(Status status);

  // Of the last event; 0 before the first.
  std::uint64_t seq() const { return last_seq_; }
  std::uint64_t changes() const { return changes_; }

  // A stop of the daemon has begun.
  bool is_draining() const { return !draining_.empty(); }

  // Names of models; null for all of them.
  using ModelNames = const std::set<std::string, std::less<>>*;

  // What a new connection is told: the capabilities, then the status, of every model that has one.
  std::string snapshot(ModelNames models = nullptr) const;
  // `missed` events are lost to one reader; the snapshot follows.
  std::string lagged_snapshot(std::uint64_t missed, ModelNames models = nullptr) const;

  // The first entry from `seq` on that is still here: every event of the last kept_events, before those what
  // no reader may miss. Null where there is none yet.
  const LogEntry* find(std::uint64_t seq) const;
  // Names of models that are kept: of those that were forgotten, only while an event has them, or not much
  // longer.
  std::size_t kept_names() const { return models_.size(); }
  // How often a reader was told that it has lost events.
  std::uint64_t lagged_readers() const { return lagged_readers_; }

  // Whether nothing from `seq` on has been forgotten but superseded progress.
  bool has_changes_since(std::uint64_t seq) const { return seq > forgotten_seq_; }
  // Whether no event at all from `seq` on has been forgotten.
  bool has_events_since(std::uint64_t seq) const;

 private:
  // What the snapshot says of a model: its last events, encoded.
  struct Current {
    std::string capabilities;
    std::string status;
    std::optional<StatusKind> kind;       // of the last event
    std::optional<PhaseKind> phase;       // likewise, where it was of a phase
    std::uint64_t last_progress_seq = 0;  // 0: the last event was no progress
  };

  void append(const std::string* model, Status status);
  static void store(std::string_view line, SegmentPtr& segment, LogEntry& entry);
  void remember(Current& current, const StatusEvent& event, LogEntry& entry);
  void supersede(std::uint64_t seq);
  void forget_oldest();
  void drop_unused_names();

  std::string default_model_;
  std::function<void()> on_published_;
  Observer observer_;
  // By name, also those that were forgotten, which are empty: entries point to the keys.
  std::map<std::string, Current> models_;
  std::size_t forgotten_names_ = 0;  // since those of which nothing is left were looked for
  std::string starting_;
  std::string draining_;

  SegmentPtr segment_;           // of the newest entries
  SegmentPtr older_segment_;     // of those that have come to older_ last
  std::deque<LogEntry> recent_;  // without a gap
  std::deque<LogEntry> older_;   // before those, without superseded progress
  std::uint64_t last_seq_ = 0;
  std::uint64_t changes_ = 0;
  mutable std::uint64_t lagged_readers_ = 0;
  std::uint64_t forgotten_seq_ = 0;  // the newest that is no longer here, superseded progress aside
};

}  // namespace ggufd::admin
