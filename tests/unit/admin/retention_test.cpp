// The log of events: what is progress and what a change, and what is kept for how long.
#include <set>

#include "admin/status_log.h"
#include "support.h"

namespace ggufd::admin {
namespace {

using namespace test;

struct Log {
  // Returns the event's number.
  std::uint64_t publish(const std::string& model, Status status) {
    log.publish(model, std::move(status));
    return log.seq();
  }
  void warn(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) log.publish("w", warning());
  }
  bool is_progress(std::uint64_t seq) const { return at(seq).is_progress; }
  bool is_superseded(std::uint64_t seq) const { return at(seq).is_superseded; }
  const LogEntry& at(std::uint64_t seq) const {
    const LogEntry* entry = log.find(seq);
    REQUIRE(entry != nullptr);
    REQUIRE(entry->seq == seq);
    return *entry;
  }
  bool is_kept(std::uint64_t seq) const {
    const LogEntry* entry = log.find(seq);
    return entry != nullptr && entry->seq == seq;
  }
  // The number that a reader gets who asks for `seq`; 0: none.
  std::uint64_t found(std::uint64_t seq) const {
    const LogEntry* entry = log.find(seq);
    return entry != nullptr ? entry->seq : 0;
  }

  StatusLog log{"b", [] {}};
};

TEST_CASE("the first event of a phase is a change, those that follow are progress") {
  Log log;
  CHECK_FALSE(log.is_progress(log.publish("b", downloading(0))));
  CHECK(log.is_progress(log.publish("b", downloading(1))));
  CHECK(log.is_progress(log.publish("b", downloading(2))));
  CHECK_FALSE(log.is_progress(log.publish("b", mapping(0))));
  CHECK(log.is_progress(log.publish("b", mapping(1))));
  CHECK_FALSE(log.is_progress(log.publish("b", downloading(0))));
  CHECK(log.log.changes() == 3);
}

TEST_CASE("everything that is not of a phase is a change") {
  Log log;
  const std::vector<Status> changes{status::Ready{},     status::Ready{},      status::Capabilities{},
                                    status::Unloading{}, status::Unloaded{},   status::Failed{},
                                    warning(),           status::Restarting{}, status::Restarting{}};
  for (const Status& change : changes) CHECK_FALSE(log.is_progress(log.publish("b", change)));
  log.log.publish(status::Draining{});
  CHECK_FALSE(log.is_progress(log.log.seq()));
  CHECK(log.log.changes() == changes.size() + 1);
}

TEST_CASE("a phase that another status tells of is another phase") {
  Log log;
  log.publish("b", mapping(0));
  const Status again = status::Restarting{.phase = phase::Mmap{}, .reason = RestartReason::reload};
  CHECK_FALSE(log.is_progress(log.publish("b", again)));
  CHECK(log.is_progress(log.publish("b", again)));
}

TEST_CASE("models have their phases each for itself, and warnings do not end them") {
  Log log;
  log.publish("a", downloading(0));
  CHECK_FALSE(log.is_progress(log.publish("b", downloading(0))));
  log.publish("b", warning());
  log.log.publish(warning());
  CHECK(log.is_progress(log.publish("b", downloading(1))));
  CHECK(log.is_progress(log.publish("a", downloading(1))));
}

TEST_CASE("progress is superseded by the next of the same phase only") {
  Log log;
  const auto begin = log.publish("b", downloading(0));
  const auto first = log.publish("b", downloading(1));
  CHECK_FALSE(log.is_superseded(first));
  log.publish("a", downloading(0));
  log.publish("b", warning());
  CHECK_FALSE(log.is_superseded(first));
  const auto last = log.publish("b", downloading(2));
  CHECK(log.is_superseded(first));
  CHECK_FALSE(log.is_superseded(begin));
  log.publish("b", mapping(0));
  log.publish("b", mapping(1));
  CHECK_FALSE(log.is_superseded(last));  // a phase's last word stays
}

TEST_CASE("the number of changes stands in each entry") {
  Log log;
  CHECK(log.at(log.publish("b", downloading(0))).change_number == 1);
  CHECK(log.at(log.publish("b", downloading(1))).change_number == 1);
  CHECK(log.at(log.publish("b", warning())).change_number == 2);
}

TEST_CASE("an empty log, and the place behind its end") {
  Log log;
  CHECK(log.found(0) == 0);
  CHECK(log.found(1) == 0);
  CHECK(log.log.has_events_since(1));
  CHECK(log.log.has_changes_since(1));
  log.warn(1);
  CHECK(log.found(0) == 1);
  CHECK(log.found(1) == 1);
  CHECK(log.found(2) == 0);
  CHECK(log.found(UINT64_MAX) == 0);
  CHECK(log.log.has_events_since(2));
  CHECK(log.log.has_events_since(1));
  CHECK_FALSE(log.log.has_events_since(0));  // there is no event 0
}

TEST_CASE("the last 4,096 events are kept, whatever they are") {
  Log log;
  log.publish("b", downloading(0));
  for (std::uint64_t i = 1; i < StatusLog::kept_events; ++i) log.publish("b", downloading(i));
  CHECK(log.is_kept(1));
  CHECK(log.is_kept(2));
  CHECK(log.log.has_events_since(1));
  log.publish("b", downloading(9999));
  CHECK(log.is_kept(1));  // a change
  CHECK_FALSE(log.log.has_events_since(1));
  CHECK(log.log.has_events_since(2));
  log.publish("b", downloading(10'000));
  CHECK_FALSE(log.is_kept(2));  // superseded progress
  CHECK(log.found(2) == 3);
  CHECK_FALSE(log.log.has_events_since(2));
  CHECK(log.log.has_changes_since(1));
}

TEST_CASE("changes are kept for a reader that is up to 1,024 of them behind") {
  Log log;
  log.warn(StatusLog::kept_events + 1);
  // 4,097 changes; a reader that stands before number 1 has lagged long ago.
  CHECK_FALSE(log.is_kept(1));
  CHECK_FALSE(log.log.has_changes_since(1));
  CHECK(log.log.has_changes_since(2));
  CHECK(log.found(1) == 2);
}

TEST_CASE("beyond 4,096 events as many changes remain as a reader may be behind") {
  Log log;
  log.warn(10);
  for (std::uint64_t i = 0; i < 2 * StatusLog::kept_events; ++i) log.publish("b", downloading(i));
  CHECK(log.is_kept(1));
  CHECK(log.log.has_changes_since(1));
  const auto newest = log.log.seq();
  log.warn(StatusLog::kept_changes - 11);  // 1,024 in all, the download's first event among them
  REQUIRE(log.log.changes() == StatusLog::kept_changes);
  CHECK(log.is_kept(1));
  log.warn(1);
  CHECK(log.is_kept(1));
  log.warn(1);
  CHECK_FALSE(log.is_kept(1));
  CHECK_FALSE(log.log.has_changes_since(1));
  CHECK(log.log.has_changes_since(2));
  CHECK(log.is_kept(2));
  CHECK(log.found(12) > 12);  // the progress of then is gone, and only that
  CHECK(log.found(12) <= newest);
}

TEST_CASE("progress that nothing has superseded outlives 4,096 events") {
  Log log;
  log.publish("a", downloading(0));
  const auto current = log.publish("a", downloading(1));
  for (std::uint64_t i = 0; i < 2 * StatusLog::kept_events; ++i) log.publish("b", downloading(i));
  CHECK(log.is_kept(current));
  log.publish("a", downloading(2));
  CHECK_FALSE(log.is_kept(current));
  CHECK(log.log.has_changes_since(1));
}

TEST_CASE("hours of progress between two changes are not kept in memory for the sake of the changes") {
  Log log;
  for (std::size_t change = 0; change < 600; ++change) {
    log.warn(1);
    for (std::uint64_t i = 0; i < 100; ++i) log.publish("b", downloading(i, std::string(600, 'x')));
  }
  std::set<const Segment*> segments;
  std::size_t changes = 0;
  for (const LogEntry* entry = log.log.find(1); entry != nullptr; entry = log.log.find(entry->seq + 1)) {
    segments.insert(entry->segment.get());
    if (!entry->is_progress) ++changes;
  }
  CHECK(changes == log.log.changes());
  CHECK(segments.size() < 80);  // some 4,096 events of 800 bytes, and a few with changes
}

}  // namespace
}  // namespace ggufd::admin
