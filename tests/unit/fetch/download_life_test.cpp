// A download that is held back, cancelled or destroyed, at every moment of its life.
#include "download_support.h"

namespace ggufd::fetch {
namespace {

using namespace test;
using Request = FileServer::Request;

TEST_CASE("a disk that is slower than the network holds the transfers, not the memory") {
  const std::string file = some_bytes(40 << 20);
  FileServer server(file);
  Fetching fetching;
  fetching.settings.segment_bytes = 64 << 20;
  BusyPool pool(fetching.loop);
  constexpr std::uint64_t capacity = ChunkBuffer::max_chunks * ChunkBuffer::chunk_bytes;
  fetching.start(server.url());
  REQUIRE(run_until(fetching.loop, [&] { return fetching.writer->accepted().size() > capacity - 600'000; }));
  int turns = 0;
  loop::Timer turn(fetching.loop, [&] { ++turns; });
  turn.start_repeating(1);
  REQUIRE(run_until(fetching.loop, [&] { return turns > 20; }));
  turn.stop();
  CHECK(fetching.writer->accepted().size() <= capacity);
  pool.release();
  REQUIRE(run_until(fetching.loop, [&] { return fetching.ends > 0; }));
  fetching.check_is(file);
}

TEST_CASE("the next download into the same target hears of its room, though the last one still lives") {
  const std::string file = some_bytes(40 << 20);
  FileServer server(file);
  FileServer refusing("", [](HttpServer::Exchange& exchange, const Request&) {
    exchange.send(answer("", "404 Not Found"));
    return true;
  });
  Fetching fetching;
  fetching.settings.segment_bytes = 64 << 20;
  bool has_refused = false;
  fetching.at_done = [&] {
    if (has_refused) return;
    has_refused = true;
    fetching.ends = 0;
    // As in a pull: the one that has ended goes when the turn does.
    fetching.loop.at_end_of_turn([ended = std::shared_ptr<Download>(std::move(fetching.download))] {});
    fetching.start(server.url());
  };
  fetching.start(refusing.url());
  BusyPool pool(fetching.loop);
  REQUIRE(run_until(fetching.loop, [&] { return fetching.writer->accepted().size() > (20 << 20); }));
  pool.release();
  REQUIRE(run_until(fetching.loop, [&] { return fetching.ends > 0; }));
  fetching.check_is(file);
}

enum class Moment { at_once, waiting_for_head, in_the_body, inside_progress, waiting_to_retry };
constexpr std::array moments = {Moment::at_once, Moment::waiting_for_head, Moment::in_the_body,
                                Moment::inside_progress, Moment::waiting_to_retry};

// Runs a download to the moment and does `act` then.
struct Scene {
  Fetching fetching;
  HttpServer server{[](auto& exchange) {
    if (exchange.path == "/silent") return exchange.wait_for_close();
    if (exchange.path == "/busy") return exchange.send(answer("", "503 Busy"));
    exchange.send(head_of("200 OK", "Content-Length: 6\r\n") + "123");
    exchange.wait_for_close();
  }};

  void act_at(Moment moment, const std::function<void()>& act) {
    fetching.start(server.url(moment == Moment::waiting_for_head   ? "/silent"
                              : moment == Moment::waiting_to_retry ? "/busy"
                                                                   : "/half"));
    const auto come_to = [&](auto reached) { REQUIRE(run_until(fetching.loop, reached)); };
    bool has_acted = false;
    if (moment == Moment::inside_progress) {
      fetching.at_progress = [&] {
        if (!std::exchange(has_acted, true)) act();
      };
      come_to([&] { return has_acted; });
      fetching.at_progress = [] {};
      return;
    }
    if (moment == Moment::waiting_for_head) come_to([&] { return server.requests() == 1; });
    if (moment == Moment::in_the_body) come_to([&] { return fetching.writer->accepted().size() == 3; });
    if (moment == Moment::waiting_to_retry) come_to([&] { return !fetching.notes.empty(); });
    act();
  }
};

TEST_CASE("cancelling ends a download once, at once, and never inside the call; its bytes stay") {
  for (const Moment moment : moments) {
    CAPTURE(static_cast<int>(moment));
    Scene scene;
    Fetching& fetching = scene.fetching;
    // Where nothing else is under way, the loop would wait for its next event first.
    loop::Timer turn(fetching.loop, [] {});
    turn.start_repeating(1);
    Stopwatch watch;
    scene.act_at(moment, [&] {
      watch = {};
      fetching.download->cancel();
      fetching.download->cancel();
      CHECK(fetching.ends == 0);
    });
    REQUIRE(run_until(fetching.loop, [&] { return fetching.ends > 0; }));
    turn.stop();
    CHECK(watch.elapsed_ms() < 100);
    CHECK(fetching.code() == ErrorCode::cancelled);
    fetching.download->cancel();
    if (moment == Moment::in_the_body) CHECK(fetching.writer->accepted().size() == 3);
    fetching.download.reset();
    fetching.run_dry();
    CHECK(fetching.ends == 1);
  }
}

TEST_CASE("destroying a download is its end: nothing is told") {
  for (const Moment moment : moments) {
    if (moment == Moment::inside_progress) continue;  // on_progress must not destroy it
    CAPTURE(static_cast<int>(moment));
    Scene scene;
    scene.act_at(moment, [&] { scene.fetching.download.reset(); });
    scene.fetching.run_dry();
    CHECK(scene.fetching.ends == 0);
  }
}

TEST_CASE("a download may be destroyed by its end, whatever that is") {
  const std::string file = some_bytes(30 << 20);
  for (const char* path : {"/whole", "/404", "/changed", "/cancel", "/paused"}) {
    CAPTURE(path);
    const std::string_view what = path;
    FileServer server(what == "/paused" ? file : some_bytes(3 * segment_bytes));
    server.set_bend([&](HttpServer::Exchange& exchange, const Request& request) {
      if (what == "/404") exchange.send(answer("", "404 Not Found"));
      if (what == "/changed" && request.number > 0) exchange.send(answer("x", "200 OK", "ETag: \"two\"\r\n"));
      // Ends while it is held back: resuming it is the end.
      if (what == "/paused") server.answer_right(exchange, request, file.size() - 1);
      return what == "/404" || what == "/paused" || (what == "/changed" && request.number > 0);
    });
    Fetching fetching;
    if (what == "/paused") fetching.settings = {.segment_bytes = 64 << 20, .retries = 0};
    fetching.at_done = [&] { fetching.download.reset(); };
    if (what == "/cancel") fetching.at_progress = [&] { fetching.download->cancel(); };
    std::unique_ptr<BusyPool> pool;
    if (what == "/paused") pool = std::make_unique<BusyPool>(fetching.loop);
    fetching.start(server.url(path));
    if (pool) {
      REQUIRE(run_until(fetching.loop, [&] { return fetching.writer->accepted().size() > (23 << 20); }));
      pool->release();
    }
    REQUIRE(run_until(fetching.loop, [&] { return fetching.ends > 0; }));
    CHECK(fetching.download == nullptr);
    fetching.run_dry();
    CHECK(fetching.ends == 1);
  }
}

}  // namespace
}  // namespace ggufd::fetch
