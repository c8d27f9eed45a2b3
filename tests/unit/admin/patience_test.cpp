// How long one connection is borne with, told the time instead of waiting for it.
#include "admin/subscriber.h"

#include "support.h"

namespace ggufd::admin {
namespace {

using namespace test;

// A subscriber whose owner does nothing by itself: the test flushes.
struct Bench final : SubscriberOwner {
  Bench() {
    subscriber.emplace(1, loop, std::move(connection.stream), loop::PeerCredentials{}, log, patience, *this);
  }

  void on_line(Subscriber&, std::string_view) override {}
  void flush_soon(Subscriber&) override {}
  void drop_soon(Subscriber&) override { is_dropped = true; }
  void held_bytes_changed(std::ptrdiff_t change) override { held_bytes += change; }

  // Until the socket is full and a write waits for room.
  void fill() {
    while (!subscriber->needs_watch()) {
      log.publish("b", warning(std::string(8000, 'x')));
      flush();
    }
  }
  void flush() { subscriber->flush(gathered); }
  void turns() {
    for (int turn = 0; turn < 4; ++turn) uv_run(loop.raw(), UV_RUN_NOWAIT);
    flush();
  }

  loop::Loop loop;
  loop::test::Connection connection{loop};
  StatusLog log{"b", [] {}};
  const Patience patience;
  Gathered gathered;
  std::ptrdiff_t held_bytes = 0;
  bool is_dropped = false;
  std::optional<Subscriber> subscriber;
};

TEST_CASE("a reader that takes no byte for 60 s while there are some waiting is given up") {
  Bench bench;
  bench.fill();
  const std::uint64_t now_ms = bench.loop.now_ms();
  CHECK(bench.subscriber->outlives(now_ms));
  CHECK(bench.subscriber->outlives(now_ms + 59'999));
  CHECK_FALSE(bench.subscriber->outlives(now_ms + 60'000));
}

TEST_CASE("a reader that takes some is not given up, however long it is behind") {
  Bench bench;
  // More than the socket takes at a time.
  for (int i = 0; i < 100; ++i) bench.log.publish("b", warning(std::string(8000, 'x')));
  bench.flush();
  REQUIRE(bench.subscriber->needs_watch());
  for (int minute = 0; minute < 2; ++minute) {
    CHECK(bench.subscriber->outlives(bench.loop.now_ms() + 59'999));
    bench.connection.client->receive();
    bench.turns();
    REQUIRE(bench.subscriber->needs_watch());  // for more: its time begins anew
  }
  CHECK(bench.subscriber->outlives(bench.loop.now_ms() + 59'999));
  CHECK_FALSE(bench.subscriber->outlives(bench.loop.now_ms() + 60'000));
}

TEST_CASE("a reader that sips is not given up although there is no room for more yet") {
  Bench bench;
  bench.fill();
  std::uint64_t now_ms = bench.loop.now_ms();
  for (int sip = 0; sip < 3; ++sip) {
    now_ms += 59'999;
    bench.connection.client->receive(40'000);
    bench.turns();
    REQUIRE(bench.subscriber->needs_watch());  // still no room
    CHECK(bench.subscriber->outlives(now_ms));
  }
  CHECK_FALSE(bench.subscriber->outlives(now_ms + 60'000));
}

TEST_CASE("a reader that nothing waits for is borne with for ever") {
  Bench bench;
  bench.flush();
  CHECK_FALSE(bench.subscriber->needs_watch());
  CHECK(bench.subscriber->outlives(UINT64_MAX));
}

TEST_CASE("a client whose line was refused has a second to stop sending") {
  Bench bench;
  bench.connection.client->send(std::string(max_frame_bytes + 1, 'x'));
  REQUIRE(loop::test::run_until(bench.loop, [&] { return bench.subscriber->needs_watch(); }));
  const std::uint64_t now_ms = bench.loop.now_ms();
  CHECK(bench.subscriber->outlives(now_ms));
  CHECK_FALSE(bench.subscriber->outlives(now_ms + 1000));
}

TEST_CASE("what a client makes the daemon hold is counted, and given back when it has gone") {
  Bench bench;
  bench.flush();
  CHECK(bench.held_bytes == 0);
  bench.connection.client->send("{\"id\":\"half");
  REQUIRE(loop::test::run_until(bench.loop, [&] { return bench.held_bytes > 0; }));
  CHECK(bench.held_bytes == 11);
  bench.subscriber->request_began(100);
  bench.subscriber->answer("1", AnswerBody(answer::Done{}));
  CHECK(bench.held_bytes > 111);
  bench.flush();
  CHECK(bench.held_bytes == 111);
  bench.subscriber.reset();
  CHECK(bench.held_bytes == 0);
}

}  // namespace
}  // namespace ggufd::admin
