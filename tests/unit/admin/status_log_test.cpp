// The log of events: numbering, encoding once, what the snapshot says.
#include "admin/status_log.h"

#include "support.h"

namespace ggufd::admin {
namespace {

using namespace test;

// A log that nobody reads. Model "b" is the default one.
struct Log {
  void publish(const std::string& model, Status status) { log.publish(model, std::move(status)); }
  // "status of model@seq" for each frame of the snapshot, phase or reason aside.
  std::vector<std::string> snapshot() const { return summary(log.snapshot()); }
  static std::vector<std::string> summary(std::string_view frames) {
    std::vector<std::string> result;
    while (!frames.empty()) {
      const std::size_t size = frames.find('\n') + 1;
      const auto event = event_of(frames.substr(0, size));
      REQUIRE(event.has_value());
      result.push_back(fmt::format("{}{}@{}", name_of(kind_of(event->status)),
                                   event->model ? " " + *event->model : std::string(), event->seq));
      frames.remove_prefix(size);
    }
    return result;
  }

  int published = 0;
  StatusLog log{"b", [this] { ++published; }};
};

using Frames = std::vector<std::string>;

TEST_CASE("events are numbered from 1, stamped, and told once each") {
  Log log;
  CHECK(log.log.seq() == 0);
  CHECK(log.log.find(1) == nullptr);
  const Timestamp before = Timestamp::now();
  log.log.publish(status::Starting{"0.1.0", 7});
  log.publish("a", checking());
  CHECK(log.published == 2);
  CHECK(log.log.seq() == 2);
  const auto first = event_of(log.log.find(1)->line());
  const auto second = event_of(log.log.find(2)->line());
  CHECK(first->status == Status(status::Starting{"0.1.0", 7}));
  CHECK_FALSE(first->model.has_value());
  CHECK(first->seq == 1);
  CHECK(second->status == checking());
  CHECK(second->model == "a");
  CHECK(second->seq == 2);
  CHECK(first->ts >= before);
  CHECK(second->ts <= Timestamp::now());
}

TEST_CASE("an event is encoded once: every reader is given the same bytes, and they never move") {
  Log log;
  log.publish("a", checking());
  const LogEntry* entry = log.log.find(1);
  const char* const bytes = entry->line().data();
  const std::string line(entry->line());
  const SegmentPtr held = entry->segment;  // as a write under way holds it
  for (int i = 0; i < 2000; ++i) log.publish("a", warning(std::string(100, 'x')));
  CHECK(log.log.find(1)->line().data() == bytes);
  for (std::size_t i = 0; i < 2 * StatusLog::kept_events; ++i) log.publish("a", warning());
  CHECK(log.log.find(1)->seq > 1);
  CHECK(std::string_view(bytes, line.size()) == line);
}

TEST_CASE("frames share segments, and one that does not fit begins the next") {
  Log log;
  for (int i = 0; i < 100; ++i) log.publish("a", warning(std::string(8000, 'x')));
  std::size_t segments = 1;
  for (std::uint64_t seq = 2; seq <= 100; ++seq) {
    const LogEntry& before = *log.log.find(seq - 1);
    const LogEntry& entry = *log.log.find(seq);
    CHECK(event_of(entry.line())->seq == seq);
    CHECK(entry.offset + entry.size <= entry.segment->capacity);
    if (entry.segment != before.segment) {
      ++segments;
      CHECK(entry.offset == 0);
      CHECK(before.segment->capacity - before.segment->used < entry.size);
    } else {
      CHECK(entry.line().data() == before.line().data() + before.size);
    }
  }
  CHECK(segments >= 100 * 8000 / (64 * 1024));
  CHECK(segments <= 100 / 8 + 1);
}

TEST_CASE("the largest event that there can be fits") {
  Log log;
  const std::string text(100'000, '\x01');  // six bytes each once escaped, and cut
  log.publish("a", status::LoadingModel{phase::Quarantine{text, text, text, text}});
  log.publish("a", warning());
  CHECK(log.log.find(1)->size <= max_frame_bytes);
  CHECK(event_of(log.log.find(1)->line()).has_value());
  CHECK(event_of(log.log.find(2)->line())->status == warning());
}

TEST_CASE("without a model's status the snapshot is `starting`") {
  Log log;
  CHECK(log.snapshot().empty());
  log.log.publish(status::Starting{"0.1.0", 7});
  CHECK(log.snapshot() == Frames{"starting@1"});
  log.log.publish(warning());
  CHECK(log.snapshot() == Frames{"starting@1"});
  log.publish("a", warning());
  CHECK(log.snapshot() == Frames{"starting@1"});
  log.publish("a", checking());
  CHECK(log.snapshot() == Frames{"loading_model a@4"});
}

TEST_CASE("the snapshot: capabilities by name, then statuses, the default model's last") {
  Log log;
  for (const char* name : {"c", "b", "a", "d"}) {
    log.publish(name, checking());
    log.publish(name, status::Capabilities{});
  }
  CHECK(log.snapshot() == Frames{"capabilities a@6", "capabilities b@4", "capabilities c@2",
                                 "capabilities d@8", "loading_model a@5", "loading_model c@1",
                                 "loading_model d@7", "loading_model b@3"});
  log.publish("c", status::Ready{5, {}, {}});
  CHECK(log.snapshot() == Frames{"capabilities a@6", "capabilities b@4", "capabilities c@2",
                                 "capabilities d@8", "loading_model a@5", "ready c@9", "loading_model d@7",
                                 "loading_model b@3"});
}

TEST_CASE("the snapshot's frames are the published bytes") {
  Log log;
  log.publish("b", status::Capabilities{});
  log.publish("b", status::Ready{5, {}, "/run/infer.sock"});
  CHECK(log.log.snapshot() == std::string(log.log.find(1)->line()) + std::string(log.log.find(2)->line()));
}

TEST_CASE("each progress takes the place of the one before in the snapshot") {
  Log log;
  log.publish("b", downloading(1));
  log.publish("b", downloading(2));
  CHECK(log.snapshot() == Frames{"loading_model b@2"});
  log.publish("b", mapping(0));
  CHECK(log.snapshot() == Frames{"loading_model b@3"});
}

TEST_CASE("a warning changes no status") {
  Log log;
  log.publish("b", status::Ready{});
  log.publish("b", warning());
  log.log.publish(warning());
  CHECK(log.snapshot() == Frames{"ready b@1"});
}

TEST_CASE("capabilities go with what had them") {
  Log log;
  const auto bring_up = [&log] {
    log.publish("b", checking());
    log.publish("b", status::Capabilities{});
    log.publish("b", status::Ready{});
  };
  bring_up();
  SUBCASE("an unload: until it has been unloaded it can still do what it could") {
    log.publish("b", status::Unloading{});
    CHECK(log.snapshot() == Frames{"capabilities b@2", "unloading b@4"});
    log.publish("b", status::Unloaded{});
    CHECK(log.snapshot() == Frames{"unloaded b@5"});
    bring_up();
    CHECK(log.snapshot() == Frames{"capabilities b@7", "ready b@8"});
  }
  SUBCASE("an error") {
    log.publish("b", status::Failed{});
    CHECK(log.snapshot() == Frames{"error b@4"});
  }
  SUBCASE("a restart keeps them") {
    log.publish("b", status::Restarting{});
    CHECK(log.snapshot() == Frames{"capabilities b@2", "restarting b@4"});
  }
}

TEST_CASE("a model that is forgotten is not in the snapshot, and what was told of it stays") {
  Log log;
  std::vector<std::string> forgotten;
  log.log.set_observer(
      {.on_event = {}, .on_forgotten = [&](const std::string& model) { forgotten.push_back(model); }});
  log.log.publish(status::Starting{"1", 1});
  log.publish("a", status::Capabilities{});
  log.publish("a", status::Ready{});
  log.publish("b", status::Ready{});
  log.log.forget("a");
  log.log.forget("never told of itself");
  CHECK(log.snapshot() == Frames{"ready b@4"});
  CHECK(event_of(log.log.find(3)->line())->model == "a");
  CHECK(*log.log.find(3)->model == "a");
  log.log.forget("b");
  CHECK(log.snapshot() == Frames{"starting@1"});
  log.publish("a", checking());
  CHECK(log.snapshot() == Frames{"loading_model a@5"});
  CHECK_FALSE(log.log.find(5)->is_progress);
  CHECK(forgotten == std::vector<std::string>{"a", "never told of itself", "b"});
}

TEST_CASE("names that clients make up do not pile up, and those of events that are kept stay") {
  Log log;
  log.publish("configured", status::Ready{});
  for (std::size_t i = 0; i < 20'000; ++i) {
    const std::string name = "pulled-" + std::to_string(i);
    log.publish(name, status::Unloaded{UnloadReason::request});
    log.log.forget(name);
  }
  CHECK(log.log.kept_names() < StatusLog::kept_events + StatusLog::kept_changes + 1024);
  const std::uint64_t first = log.log.seq() - StatusLog::kept_events + 1;
  for (std::uint64_t seq = first; seq <= log.log.seq(); ++seq) {
    const LogEntry* entry = log.log.find(seq);
    REQUIRE(entry != nullptr);
    REQUIRE(*entry->model == event_of(entry->line())->model);
  }
  CHECK(log.snapshot() == Frames{"ready configured@1"});
}

TEST_CASE("another default model is the last of the snapshot from then on") {
  Log log;
  for (const char* name : {"a", "b", "c"}) log.publish(name, status::Ready{});
  CHECK(log.snapshot() == Frames{"ready a@1", "ready c@3", "ready b@2"});
  log.log.set_default_model("a");
  CHECK(log.snapshot() == Frames{"ready b@2", "ready c@3", "ready a@1"});
  log.log.set_default_model("");
  CHECK(log.snapshot() == Frames{"ready a@1", "ready b@2", "ready c@3"});
}

TEST_CASE("during a stop the snapshot is `draining` alone") {
  Log log;
  log.publish("b", status::Capabilities{});
  log.publish("b", status::Ready{});
  CHECK_FALSE(log.log.is_draining());
  log.log.publish(status::Draining{});
  CHECK(log.log.is_draining());
  CHECK(log.snapshot() == Frames{"draining@3"});
  log.publish("b", status::Unloaded{UnloadReason::shutdown});
  CHECK(log.snapshot() == Frames{"draining@3"});
}

TEST_CASE("who has lagged is told so, then the snapshot") {
  Log log;
  log.publish("b", status::Ready{});
  const std::string told = log.log.lagged_snapshot(1536);
  CHECK(told.starts_with("{\"id\":\"admin\",\"type\":\"status\",\"status\":\"lagged\",\"missed\":1536}\n"));
  CHECK(Log::summary(told) == Frames{"lagged@0", "ready b@1"});
}

}  // namespace
}  // namespace ggufd::admin
