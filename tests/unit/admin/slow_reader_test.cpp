// Readers that fall behind: what they may lose, what they must get, and when they are told that they have
// lagged.
#include "admin/server.h"
#include "support.h"

namespace ggufd::admin {
namespace {

using namespace test;

// The sequence numbers of the events in `lines`.
std::vector<std::uint64_t> seqs_of(const std::vector<std::string>& lines) {
  std::vector<std::uint64_t> seqs;
  for (const std::string& line : lines) {
    if (const auto event = event_of(line)) seqs.push_back(event->seq);
  }
  return seqs;
}
std::vector<std::uint64_t> range(std::uint64_t first, std::uint64_t last) {
  std::vector<std::uint64_t> seqs;
  for (std::uint64_t seq = first; seq <= last; ++seq) seqs.push_back(seq);
  return seqs;
}

TEST_CASE("a reader that keeps up gets every progress") {
  House house;
  auto peer = house.watch();
  for (std::uint64_t i = 0; i < 2000; ++i) {
    house.log.publish("b", downloading(i));
    if (i % 10 == 0) house.turns(1);
    peer->receive();
  }
  CHECK(house.lines(*peer, 2000));
  CHECK(seqs_of(peer->lines()) == range(1, 2000));
}

TEST_CASE("a write that stops within a frame goes on where it stopped") {
  House house;
  auto peer = house.watch();
  const std::size_t count = house.fill();
  // Sips, so that the rest of the frame waits for room again and again.
  CHECK(house.until([&] {
    peer->receive(4093);
    return peer->line_count() == count;
  }));
  CHECK(seqs_of(peer->lines()) == range(1, count));
}

TEST_CASE("a slow reader loses superseded progress, gets every change in order, and each phase's last word") {
  House house;
  auto peer = house.watch();
  const std::uint64_t first = house.fill() + 1;
  const auto say = [&](Status status, const char* model = "b") {
    house.log.publish(model, std::move(status));
  };
  say(downloading(0));  // first
  say(downloading(1));  // superseded
  say(downloading(2), "a");
  say(downloading(2));  // superseded
  say(warning());
  say(downloading(3));
  say(mapping(0));
  say(mapping(1));  // superseded
  say(mapping(2));
  say(status::Capabilities{});
  say(status::Ready{});
  CHECK(house.until([&] {
    peer->receive();
    return !seqs_of(peer->lines()).empty() && seqs_of(peer->lines()).back() == house.log.seq();
  }));
  std::vector<std::uint64_t> expected = range(1, house.log.seq());
  for (const std::uint64_t lost : {first + 1, first + 3, first + 7}) std::erase(expected, lost);
  CHECK(seqs_of(peer->lines()) == expected);
  // Once it has caught up it gets all of it again.
  peer->forget();
  say(downloading(0));
  say(downloading(1));
  say(downloading(2));
  CHECK(house.lines(*peer, 3));
}

TEST_CASE("no reader slows another one") {
  House house;
  auto slow = house.watch();
  auto peer = house.watch();
  house.fill();
  for (std::uint64_t i = 0; i < 500; ++i) {
    house.log.publish("b", downloading(i));
    CHECK(house.until([&] {
      peer->receive();
      return peer->bytes().find(fmt::format("\"downloaded_bytes\":{},", i)) != std::string::npos;
    }));
    peer->forget();
  }
}

TEST_CASE("1,024 changes behind is not lagging") {
  House house;
  auto peer = house.watch();
  house.fill();
  for (std::size_t i = 1; i < StatusLog::kept_changes; ++i) house.log.publish("b", warning());
  CHECK(house.lines(*peer, house.log.seq()));
  CHECK(seqs_of(peer->lines()) == range(1, house.log.seq()));
}

TEST_CASE(
    "1,025 changes behind is: `lagged` with the number of missed events, the snapshot, then live events") {
  House house;
  house.log.publish("a", status::Ready{});
  house.log.publish("b", status::Capabilities{});
  house.log.publish("b", status::Ready{});
  auto peer = house.watch();
  const std::uint64_t sent = 3 + house.fill() - 1;
  for (std::size_t i = 0; i < StatusLog::kept_changes; ++i) house.log.publish("a", warning());
  for (std::uint64_t i = 0; i < 10; ++i) house.log.publish("a", downloading(i));
  const std::uint64_t last = house.log.seq();
  CHECK(house.lines(*peer, sent - 3 + 4));
  house.log.publish("b", warning("live"));
  CHECK(house.lines(*peer, sent - 3 + 5));
  house.turns();
  peer->receive();
  auto lines = peer->lines();
  REQUIRE(lines.size() == sent - 3 + 5);
  const std::vector<std::string> tail(lines.end() - 5, lines.end());
  lines.resize(sent - 3);
  CHECK(seqs_of(lines) == range(4, sent));
  CHECK(tail[0] == encoded(StatusEvent{.status = status::Lagged{last - sent}}));
  CHECK(kind_of(event_of(tail[1])->status) == StatusKind::capabilities);
  CHECK(event_of(tail[2])->seq == last);  // a's last progress
  CHECK(event_of(tail[3])->seq == 3);     // b's ready
  CHECK(event_of(tail[4])->seq == last + 1);
}

TEST_CASE("however much progress there is, it is no lag") {
  House house;
  auto peer = house.watch();
  house.fill();
  house.log.publish("a", downloading(0));
  house.log.publish("a", downloading(1));  // stays the current one
  const std::uint64_t current = house.log.seq();
  for (std::uint64_t i = 0; i < 3 * StatusLog::kept_events; ++i) house.log.publish("b", downloading(i));
  CHECK(house.lines(*peer, current + 2));
  house.turns();
  peer->receive();
  auto expected = range(1, current + 1);  // b's first
  expected.push_back(house.log.seq());
  CHECK(seqs_of(peer->lines()) == expected);
}

TEST_CASE("a slow reader's answers come after the events that were published before, lost ones or not") {
  House house;
  auto peer = house.watch();
  const std::uint64_t full = house.fill();
  peer->ask("1", "ping");
  house.turns();
  house.log.publish("b", warning("after"));
  CHECK(house.lines(*peer, full + 2));
  const auto lines = peer->lines();
  CHECK(id_of(lines[full]) == "1");
  CHECK(event_of(lines[full + 1])->status == warning("after"));
}

TEST_CASE("an answer to one that has lagged comes before `lagged`, and none is lost") {
  House house;
  house.log.publish("b", status::Ready{});
  auto peer = house.watch();
  const std::uint64_t sent = house.fill() - 1;
  peer->ask("1", "ping");
  house.turns();
  for (std::size_t i = 0; i < StatusLog::kept_changes; ++i) house.log.publish("b", warning());
  CHECK(house.lines(*peer, sent + 3));
  const auto lines = peer->lines();
  REQUIRE(lines.size() == sent + 3);
  CHECK(id_of(lines[sent]) == "1");
  CHECK(kind_of(event_of(lines[sent + 1])->status) == StatusKind::lagged);
  CHECK(kind_of(event_of(lines[sent + 2])->status) == StatusKind::ready);
}

}  // namespace
}  // namespace ggufd::admin
