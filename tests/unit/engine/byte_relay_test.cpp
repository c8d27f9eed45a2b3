#include "engine/byte_relay.h"

#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/engine/relay_support.h"

namespace ggufd::engine {
namespace {

using loop::test::Client;
using loop::test::run_until;
using loop::test::Stopwatch;
using test::Caller;
using test::Relayed;

std::string random_bytes(std::size_t size) {
  std::string bytes(size, '\0');
  std::mt19937_64 random(size);
  std::ranges::generate(bytes, [&] { return static_cast<char>(random()); });
  return bytes;
}

constexpr std::size_t much_bytes = 64U << 20;  // more than all buffers on the way

TEST_CASE("a connection to the socket is one to the port") {
  Relayed house;
  CHECK(house.relay->path() == house.path);
  CHECK(house.relay->connections() == 0);
  CHECK(house.relay->last_used_ms() == 0);
  auto [client, engine] = house.connect_through();
  CHECK(house.relay->connections() == 1);
  client->say("GET /health");
  REQUIRE(run_until(house.loop, [&] { return engine.heard.read == "GET /health"; }));
  engine.say("200");
  REQUIRE(run_until(house.loop, [&] { return client->heard.read == "200"; }));
  CHECK(house.relay->last_used_ms() > 0);
}

TEST_CASE("the relay's socket is for its owner only") {
  const Relayed house;
  struct stat info{};
  REQUIRE(lstat(house.path.c_str(), &info) == 0);
  CHECK(S_ISSOCK(info.st_mode));
  CHECK((info.st_mode & 07777) == 0600);
}

TEST_CASE("a relay whose path is taken does not start") {
  Relayed house;
  const auto second = ByteRelay::start(house.loop, house.path, house.engine.port());
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().code == ErrorCode::io);
  CHECK(second.error().message.find(house.path) != std::string::npos);
  auto [client, engine] = house.connect_through();
  CHECK(house.relay->connections() == 1);
}

TEST_CASE("megabytes in both directions at once arrive byte for byte, whoever is slow") {
  Relayed house;
  auto [client, engine] = house.connect_through();
  const std::string request = random_bytes((8U << 20) + 1);
  const std::string answer = random_bytes((9U << 20) + 3);
  client->hear_nothing();
  engine.hear_nothing();
  client->say(request);
  engine.say(answer);
  house.fill_the_way(*client);
  house.fill_the_way(engine);
  engine.hear_on();
  REQUIRE(run_until(house.loop, [&] { return engine.heard.read.size() == request.size(); }));
  CHECK(client->heard.read.empty());
  client->hear_on();
  REQUIRE(run_until(house.loop, [&] { return client->heard.read.size() == answer.size(); }));
  CHECK(engine.heard.read == request);
  CHECK(client->heard.read == answer);
}

TEST_CASE("an engine that does not read slows its client down, and nothing is lost") {
  Relayed house;
  auto [client, engine] = house.connect_through();
  engine.hear_nothing();
  client->say(std::string(much_bytes, 'x'));
  house.fill_the_way(*client);
  CHECK(client->said < much_bytes / 2);
  // The other direction is open all the time.
  engine.say("busy");
  REQUIRE(run_until(house.loop, [&] { return client->heard.read == "busy"; }));
  engine.hear_on();
  CHECK(run_until(house.loop, [&] { return engine.heard.read.size() == much_bytes; }));
}

TEST_CASE("a client that does not read slows the engine down, and nothing is lost") {
  Relayed house;
  auto [client, engine] = house.connect_through();
  client->hear_nothing();
  engine.say(std::string(much_bytes, 'x'));
  house.fill_the_way(engine);
  CHECK(engine.said < much_bytes / 2);
  client->say("stop");
  REQUIRE(run_until(house.loop, [&] { return engine.heard.read == "stop"; }));
  client->hear_on();
  CHECK(run_until(house.loop, [&] { return client->heard.read.size() == much_bytes; }));
}

TEST_CASE("a client's end of sending is one for the engine, behind all that was sent") {
  Relayed house;
  auto [client, engine] = house.connect_through();
  engine.hear_nothing();
  client->say(std::string(1U << 20, 'x'));
  REQUIRE(run_until(house.loop, [&] { return client->has_said_all(); }));
  client->stream->end_writing();
  house.some_turns();
  engine.hear_on();
  REQUIRE(run_until(house.loop, [&] { return engine.heard.ends > 0; }));
  CHECK(engine.heard.read.size() == 1U << 20);
  CHECK(house.relay->connections() == 1);
  engine.say("the answer");
  CHECK(run_until(house.loop, [&] { return client->heard.read == "the answer"; }));
  CHECK(client->heard.ends == 0);
  SUBCASE("and the engine's is the end of the connection") {
    engine.stream->end_writing();
    CHECK(run_until(house.loop, [&] { return client->heard.ends > 0; }));
    CHECK(house.until_idle());
  }
  SUBCASE("and so is the client's going") {
    client->go();
    CHECK(house.until_idle());
  }
}

TEST_CASE("an engine's end of sending is one for the client, who may go on sending") {
  Relayed house;
  auto [client, engine] = house.connect_through();
  engine.say("all I have to say");
  engine.stream->end_writing();
  REQUIRE(run_until(house.loop, [&] { return client->heard.ends > 0; }));
  CHECK(client->heard.read == "all I have to say");
  CHECK(client->heard.gone == 0);
  client->say("and I");
  CHECK(run_until(house.loop, [&] { return engine.heard.read == "and I"; }));
  client->stream->end_writing();
  CHECK(run_until(house.loop, [&] { return engine.heard.ends > 0; }));
  CHECK(house.until_idle());
}

TEST_CASE("an engine that closes behind a long answer cuts nothing off, however slowly it is read") {
  Relayed house;
  auto [client, engine] = house.connect_through();
  client->hear_nothing();
  SUBCASE("to a client that still sends") {}
  SUBCASE("to a client that has ended its sending") {
    client->stream->end_writing();
    REQUIRE(run_until(house.loop, [&] { return engine.heard.ends > 0; }));
  }
  const std::string answer = random_bytes(much_bytes);
  engine.say(answer);
  house.fill_the_way(engine);
  const std::size_t said = engine.said;
  engine.go();
  house.some_turns();
  client->hear_on();
  REQUIRE(run_until(house.loop, [&] { return client->heard.ends > 0; }));
  REQUIRE(client->heard.read.size() == said);
  CHECK(answer.starts_with(client->heard.read));
}

TEST_CASE("a port that nobody listens on closes the client") {
  Relayed house;
  house.engine.stop_listening();
  const Caller client = house.call();
  REQUIRE(run_until(house.loop, [&] { return client->heard.gone > 0; }));
  CHECK(house.relay->connections() == 0);
  CHECK(house.relay->last_used_ms() > 0);
}

TEST_CASE("an engine that refuses the rest of a request is heard all the same") {
  Relayed house;
  auto [client, engine] = house.connect_through();
  engine.hear_nothing();
  client->say(std::string(much_bytes, 'x'));
  house.fill_the_way(*client);
  engine.say("413 too large");
  engine.go();  // with something unread, which resets the connection
  REQUIRE(run_until(house.loop, [&] { return client->heard.gone > 0; }));
  CHECK(client->heard.read == "413 too large");
  CHECK(house.relay->connections() == 0);
}

TEST_CASE("an engine that dies takes its connections along") {
  Relayed house;
  auto [client, engine] = house.connect_through();
  engine.hear_nothing();
  engine.say("half an ans");
  REQUIRE(run_until(house.loop, [&] { return !client->heard.read.empty(); }));
  client->say("unread");
  house.some_turns();
  engine.go();
  REQUIRE(run_until(house.loop, [&] { return client->heard.gone > 0; }));
  CHECK(client->heard.read == "half an ans");
  CHECK(house.relay->connections() == 0);
}

TEST_CASE("a client that goes ends the connection to the engine at once") {
  Relayed house;
  auto [client, engine] = house.connect_through();
  SUBCASE("with nothing on the way") {}
  SUBCASE("with an answer that nobody reads") {
    client->hear_nothing();
    engine.say(std::string(much_bytes, 'x'));
    house.fill_the_way(engine);
  }
  client->go();
  REQUIRE(house.until_idle());
  REQUIRE(run_until(house.loop, [&] { return engine.heard.ends > 0; }));
  CHECK(house.relay->last_used_ms() > 0);
}

TEST_CASE("a client that sends its request and goes is heard") {
  Relayed house;
  {
    const Client client(house.path);
    client.send("POST /slots/0?action=erase");
    SUBCASE("closing all at once") {}
    SUBCASE("ending its sending before") {
      client.end_sending();
    }
  }
  REQUIRE(run_until(house.loop, [&] { return house.engine.taken.size() == 1; }));
  const auto& engine = *house.engine.taken.front();
  REQUIRE(run_until(house.loop, [&] { return engine.heard.ends > 0; }));
  CHECK(engine.heard.read == "POST /slots/0?action=erase");
  CHECK(house.until_idle());
}

TEST_CASE("what a client that has gone had sent still goes to an engine that is slow to take it") {
  Relayed house;
  auto [client, engine] = house.connect_through();
  engine.hear_nothing();
  client->say(std::string(much_bytes, 'x'));
  house.fill_the_way(*client);
  client->go();
  house.some_turns();
  CHECK(house.relay->connections() == 1);  // a read is still waiting for the engine
  engine.hear_on();
  REQUIRE(house.until_idle());
  REQUIRE(run_until(house.loop, [&] { return engine.heard.ends > 0; }));
  CHECK(engine.heard.read.size() > 64U << 10);
}

TEST_CASE("an answer to a client that has gone does not keep the engine from reading") {
  Relayed house;
  auto [client, engine] = house.connect_through();
  client->hear_nothing();
  engine.hear_nothing();
  client->say(std::string(much_bytes, 'x'));
  engine.say(std::string(much_bytes, 'y'));
  house.fill_the_way(*client);
  house.fill_the_way(engine);
  CHECK_FALSE(engine.has_said_all());
  client->go();
  REQUIRE(run_until(house.loop, [&] { return engine.has_said_all(); }));
  engine.hear_on();
  CHECK(house.until_idle());
}

TEST_CASE("no more than 256 connections are carried; one more is closed, and welcome when one has gone") {
  Relayed house;
  std::vector<Caller> clients;
  while (clients.size() < ByteRelay::connections_max) clients.push_back(house.call());
  REQUIRE(run_until(house.loop, [&] { return house.engine.taken.size() == ByteRelay::connections_max; }));
  CHECK(house.relay->connections() == 256);
  const Caller refused = house.call();
  REQUIRE(run_until(house.loop, [&] { return refused->heard.gone > 0; }));
  CHECK(house.relay->connections() == 256);
  clients.pop_back();
  REQUIRE(run_until(house.loop, [&] { return house.relay->connections() == 255; }));
  auto [client, engine] = house.connect_through();
  client->say("hello");
  CHECK(run_until(house.loop, [&] { return engine.heard.read == "hello"; }));
  CHECK(refused->heard.read.empty());
}

TEST_CASE("connections do not mix") {
  Relayed house;
  auto [first, first_engine] = house.connect_through();
  auto [second, second_engine] = house.connect_through();
  first->say("one");
  second->say("two");
  second_engine.say("2");
  first_engine.say("1");
  CHECK(run_until(house.loop, [&] {
    return first_engine.heard.read == "one" && second_engine.heard.read == "two" &&
           first->heard.read == "1" && second->heard.read == "2";
  }));
  first->go();
  REQUIRE(run_until(house.loop, [&] { return first_engine.heard.ends > 0; }));
  second->say("!");
  CHECK(run_until(house.loop, [&] { return second_engine.heard.read == "two!"; }));
}

TEST_CASE("what is streamed comes piece by piece, without delay") {
  Relayed house;
  auto [client, engine] = house.connect_through();
  const Stopwatch watch;
  // A second piece before the answer to the first: held back for the engine's delayed acknowledgement
  // (Nagle's algorithm) it would cost 40 ms a round.
  for (std::size_t round = 1; round <= 100; ++round) {
    for (std::size_t piece = 1; piece <= 2; ++piece) {
      client->say("x");
      REQUIRE(run_until(house.loop, [&] { return engine.heard.read.size() == 2 * (round - 1) + piece; }));
    }
    engine.say("data: ");
    REQUIRE(run_until(house.loop, [&] { return client->heard.read.size() == 6 * round; }));
  }
  CHECK(watch.elapsed_ms() < 2000);
}

TEST_CASE("where the engine has ended, a client that does not move is closed after a while") {
  Relayed house(50);
  auto [client, engine] = house.connect_through();
  house.some_turns();
  engine.say("bye");
  engine.go();
  const Stopwatch watch;
  REQUIRE(run_until(house.loop, [&] { return client->heard.gone > 0; }));
  CHECK(watch.elapsed_ms() >= 49);
  CHECK(client->heard.read == "bye");
  CHECK(house.relay->connections() == 0);
}

TEST_CASE("a client that waits for a slow answer is not closed, whether or not it still sends") {
  Relayed house(20);
  auto [client, engine] = house.connect_through();
  SUBCASE("it could still send") {}
  SUBCASE("it has ended its sending") {
    client->stream->end_writing();
    REQUIRE(run_until(house.loop, [&] { return engine.heard.ends > 0; }));
  }
  bool is_over = false;
  loop::Timer long_after(house.loop, [&] { is_over = true; });
  long_after.start_once(100);
  REQUIRE(run_until(house.loop, [&] { return is_over; }));
  engine.say("42");
  CHECK(run_until(house.loop, [&] { return client->heard.read == "42"; }));
}

TEST_CASE("what a client that has gone had sent does not wait for ever for an engine that hangs") {
  Relayed house(50);
  auto [client, engine] = house.connect_through();
  engine.hear_nothing();
  client->say(std::string(much_bytes, 'x'));
  house.fill_the_way(*client);
  client->go();
  CHECK(house.until_idle());
}

TEST_CASE("a destroyed relay ends all that it carried, whatever that was about to do") {
  Relayed house;
  auto [idle, idle_engine] = house.connect_through();
  auto [stuck, stuck_engine] = house.connect_through();
  auto [half, half_engine] = house.connect_through();
  stuck->hear_nothing();
  stuck_engine.say(std::string(much_bytes, 'x'));
  house.fill_the_way(stuck_engine);
  half->stream->end_writing();
  const Caller fresh = house.call();
  const Caller waiting = house.call();
  while (house.relay->connections() < 5) uv_run(house.loop.raw(), UV_RUN_NOWAIT);
  house.relay.reset();
  struct stat info{};
  CHECK(lstat(house.path.c_str(), &info) != 0);
  stuck->hear_on();
  for (const auto* client : {idle.get(), stuck.get(), half.get(), fresh.get(), waiting.get()}) {
    CHECK(run_until(house.loop, [&] { return client->heard.gone > 0; }));
  }
  for (const auto* engine : {&idle_engine, &stuck_engine, &half_engine}) {
    CHECK(run_until(house.loop, [&] { return engine->heard.ends > 0; }));
  }
}

TEST_CASE("a relay that nobody has used ends as quietly") {
  Relayed house;
  house.relay.reset();
  struct stat info{};
  CHECK(lstat(house.path.c_str(), &info) != 0);
}

}  // namespace
}  // namespace ggufd::engine
