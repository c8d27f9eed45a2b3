// A transfer that is cancelled or dropped, at every moment of its life.
#include "support.h"

namespace ggufd::fetch {
namespace {

using namespace test;

enum class Moment { before_connect, waiting_for_head, inside_on_head, inside_on_body, paused, inside_on_end };
constexpr std::array moments = {Moment::before_connect, Moment::waiting_for_head, Moment::inside_on_head,
                                Moment::inside_on_body, Moment::paused,           Moment::inside_on_end};

// Sends a head and a piece of the body, and the rest only where the client is still there; /silent nothing.
void half_a_file(HttpServer::Exchange& exchange) {
  if (exchange.path == "/silent") return exchange.wait_for_close();
  exchange.send(head_of("200 OK", "Content-Length: 6\r\n") + "123");
  if (exchange.path == "/half") return exchange.wait_for_close();
  exchange.send("456");
}

// Starts a transfer and does `act` at the moment; returns when it has been done.
template <class Act>
void act_at(Moment moment, Client& client, HttpServer& server, Act act) {
  bool has_acted = false;
  const auto once = [&has_acted, act] {
    if (!std::exchange(has_acted, true)) act();
  };
  Sink& sink = client.sink;
  if (moment == Moment::inside_on_head) {
    sink.at_head = [once] {
      once();
      return Result<void>();
    };
  }
  if (moment == Moment::inside_on_body) {
    sink.at_body = [once] {
      once();
      return TransferSink::Taken::all;
    };
  }
  bool is_paused = false;
  if (moment == Moment::paused) {
    sink.at_body = [&] {
      is_paused = true;
      return TransferSink::Taken::nothing;
    };
  }
  if (moment == Moment::inside_on_end) sink.at_end = once;
  const bool is_silent = moment == Moment::waiting_for_head;
  client.start({.url = server.url(is_silent                         ? "/silent"
                                  : moment == Moment::inside_on_end ? "/all"
                                                                    : "/half")});
  if (moment == Moment::before_connect) once();
  if (is_silent) {
    REQUIRE(run_until(client.loop, [&] { return server.requests() == 1; }));
    once();
  }
  if (moment == Moment::paused) {
    REQUIRE(run_until(client.loop, [&] { return is_paused; }));
    once();
  }
  REQUIRE(run_until(client.loop, [&] { return has_acted; }));
  sink.at_head = [] { return Result<void>(); };
  sink.at_body = [] { return TransferSink::Taken::all; };
  sink.at_end = [] {};
}

TEST_CASE("cancelling ends a transfer once, through its callback, never inside the call") {
  for (const Moment moment : moments) {
    CAPTURE(static_cast<int>(moment));
    HttpServer server(half_a_file);
    Client client;
    int ends_inside = -1;
    act_at(moment, client, server, [&] {
      const int ends_before = client.sink.ends;
      client.transfer->cancel();
      client.transfer->cancel();
      ends_inside = client.sink.ends - ends_before;
    });
    CHECK(ends_inside == 0);
    REQUIRE(run_until(client.loop, [&] { return client.sink.ends > 0; }));
    client.loop.run();
    CHECK(client.sink.ends == 1);
    if (moment == Moment::inside_on_end) {
      CHECK(client.sink.end.has_value());
    } else {
      CHECK(client.sink.error() == ErrorCode::cancelled);
    }
    client.transfer->cancel();
    client.transfer->resume();
    client.loop.run();
    CHECK(client.sink.ends == 1);
  }
}

TEST_CASE("destroying a transfer is its end: nothing is told any more, and curl goes on with others") {
  for (const Moment moment : moments) {
    CAPTURE(static_cast<int>(moment));
    HttpServer server(half_a_file);
    Client client;
    act_at(moment, client, server, [&] { client.transfer.reset(); });
    const int ends = client.sink.ends;
    CHECK(ends == (moment == Moment::inside_on_end ? 1 : 0));
    const std::string body = client.sink.body;
    client.loop.run();
    CHECK(client.sink.ends == ends);
    CHECK(client.sink.body == body);
    client.sink = {};
    client.run({.url = server.url("/all")});
    CHECK(client.sink.body == "123456");
  }
}

TEST_CASE("everything goes at any moment: the loop closes cleanly") {
  for (const Moment moment : moments) {
    CAPTURE(static_cast<int>(moment));
    HttpServer server(half_a_file);
    Client client;
    act_at(moment, client, server, [&] {
      if (moment == Moment::inside_on_body || moment == Moment::inside_on_end) client.transfer.reset();
    });
    client.transfer.reset();
    client.curl.reset();
    // What was left for the end of the turn finds that curl has gone.
    client.loop.run();
  }
}

TEST_CASE("a transfer that was cancelled and then destroyed tells nothing") {
  HttpServer server(half_a_file);
  Client client;
  client.start({.url = server.url("/half")});
  REQUIRE(run_until(client.loop, [&] { return !client.sink.body.empty(); }));
  client.transfer->cancel();
  client.transfer.reset();
  client.loop.run();
  CHECK(client.sink.ends == 0);
}

TEST_CASE("resuming may be the end of a transfer") {
  HttpServer server([](auto& exchange) { exchange.send(answer("123456")); });
  for (const bool destroys : {false, true}) {
    CAPTURE(destroys);
    Client client;
    bool is_paused = false;
    client.sink.at_body = [&] {
      is_paused = true;
      return TransferSink::Taken::nothing;
    };
    client.start({.url = server.url("/file")});
    REQUIRE(run_until(client.loop, [&] { return is_paused; }));
    client.sink.at_body = [&] {
      if (destroys) client.transfer.reset();
      return TransferSink::Taken::all;
    };
    client.sink.at_end = [&] { client.transfer.reset(); };
    client.transfer->resume();
    REQUIRE(run_until(client.loop, [&] { return client.transfer == nullptr; }));
    client.loop.run();
    CHECK(client.sink.body == "123456");
    CHECK(client.sink.ends == (destroys ? 0 : 1));
  }
}

}  // namespace
}  // namespace ggufd::fetch
