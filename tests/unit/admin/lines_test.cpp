// What a client sends: lines in pieces and in heaps, bad ones, too long ones; and that its answers stand in
// order.
#include <algorithm>

#include "admin/server.h"

#include "support.h"

namespace ggufd::admin {
namespace {

using namespace test;

TEST_CASE("a request in pieces is one request") {
  House house;
  auto peer = house.watch();
  for (const char byte : std::string_view("{\"id\":\"1\",\"type\":\"ping\"}\n")) {
    CHECK(peer->line_count() == 0);
    peer->send({&byte, 1});
    house.turns(1);
    peer->receive();
  }
  CHECK(house.lines(*peer, 1));
  CHECK(peer->line_count() == 1);
  CHECK(id_of(peer->lines()[0]) == "1");
}

TEST_CASE("requests that come at once are answered each, in their order") {
  House house;
  auto peer = house.watch();
  std::string requests;
  for (int i = 0; i < 500; ++i) requests += fmt::format("{{\"id\":\"{}\",\"type\":\"ping\"}}\n", i);
  peer->send(requests + "{\"id\":\"half\",");
  CHECK(house.lines(*peer, 500));
  const auto lines = peer->lines();
  REQUIRE(lines.size() == 500);
  for (int i = 0; i < 500; ++i) CHECK(id_of(lines[static_cast<std::size_t>(i)]) == std::to_string(i));
  peer->send("\"type\":\"ping\"}\n");
  CHECK(house.lines(*peer, 501));
  CHECK(id_of(peer->lines()[500]) == "half");
}

TEST_CASE("bad input gets an error and keeps the connection") {
  House house;
  auto peer = house.watch();
  peer->send("\n");
  peer->send("nonsense\n");
  peer->send("\xff\xfe{\"id\":\"1\",\"type\":\"ping\"}\n");
  peer->send("{\"id\":\"2\",\"type\":\"fly\"}\n");
  peer->send("{\"type\":\"ping\"}\n");
  peer->send("{\"id\":\"3\",\"type\":\"subscribe\",\"since\":\"x\"}\n");
  peer->send(std::string_view("{\"id\":\"4\",\"type\":\"ping\0\"}\n", 26));
  peer->ask("5", "ping");
  CHECK(house.lines(*peer, 8));
  const auto lines = peer->lines();
  CHECK(error_of(lines[0]) == ErrorCode::malformed_json);
  CHECK(error_of(lines[1]) == ErrorCode::malformed_json);
  CHECK(error_of(lines[2]) == ErrorCode::malformed_json);
  CHECK(error_of(lines[3]) == ErrorCode::unknown_type);
  CHECK(id_of(lines[3]) == "2");
  CHECK(error_of(lines[4]) == ErrorCode::missing_field);
  CHECK(id_of(lines[4]).empty());
  CHECK(error_of(lines[5]) == ErrorCode::bad_field);
  CHECK(error_of(lines[6]) == ErrorCode::malformed_json);
  CHECK_FALSE(error_of(lines[7]).has_value());
  CHECK(id_of(lines[7]) == "5");
  CHECK(house.server->subscribers() == 1);
}

TEST_CASE("a line of the greatest length is read") {
  House house;
  auto peer = house.watch();
  const std::string rest = R"({"id":"1","type":"ping","x":""})";
  std::string line = rest;
  line.insert(rest.size() - 2, max_frame_bytes - rest.size(), 'y');
  REQUIRE(line.size() == max_frame_bytes);
  peer->send(line + "\n");
  CHECK(house.lines(*peer, 1));
  CHECK_FALSE(error_of(peer->lines()[0]).has_value());
}

TEST_CASE("a line that is too long is answered, and the connection ends although the client sends on") {
  House house;
  auto peer = house.watch();
  peer->ask("1", "ping");
  const std::string piece(64 * 1024, 'x');
  CHECK(house.until([&] {
    peer->send_some(piece);
    peer->receive();
    return peer->has_ended() || peer->was_reset();
  }));
  CHECK_FALSE(peer->was_reset());
  const auto lines = peer->lines();
  REQUIRE(lines.size() == 2);
  CHECK(id_of(lines[0]) == "1");
  CHECK(id_of(lines[1]).empty());
  CHECK(error_of(lines[1]) == ErrorCode::frame_too_large);
  // Nothing that follows is taken for a request.
  const std::size_t handled = house.handler.handled;
  peer->send_some("\n{\"id\":\"2\",\"type\":\"load\"}\n");
  house.turns();
  CHECK(house.handler.handled == handled);
  // It closes, and is forgotten at once.
  peer->disappear();
  CHECK(house.until([&] { return house.server->subscribers() == 0 && !house.has_running_timer(); }));
}

TEST_CASE("a client that sends on for ever after a line that was too long is cut off") {
  House house({.refused_ms = 30, .watch_interval_ms = 5});
  auto peer = house.watch();
  const std::string piece(64 * 1024, 'x');
  peer->send(piece + "xx");
  CHECK(house.end_of(*peer));
  CHECK(house.until([&] {
    peer->send_some(piece);
    peer->receive();
    return !house.has_running_timer();
  }));
  CHECK(peer->send_some(piece) == 0);  // nobody is there any more
}

TEST_CASE("an answer that comes after a line was refused does not break the connection") {
  House house;
  auto peer = house.watch();
  peer->ask("1", "load");
  peer->send(std::string(64 * 1024, 'x') + "xx");
  CHECK(house.end_of(*peer));
  house.handler.kept.front().second(AnswerBody(answer::State{ModelState::ready}));
  house.turns();
  const std::string piece(1000, 'x');
  CHECK(peer->send_some(piece) == piece.size());
  CHECK(error_of(peer->lines().back()) == ErrorCode::frame_too_large);
}

TEST_CASE("answers stand between the events as it happened") {
  House house;
  auto peer = house.watch();
  house.log.publish("b", warning("one"));
  peer->ask("1", "ping");
  house.turns(2);  // the ping is read and answered
  house.log.publish("b", warning("two"));
  peer->ask("2", "load");
  house.turns();
  house.log.publish("b", warning("three"));
  house.handler.kept.front().second(AnswerBody(answer::State{ModelState::ready}));
  house.log.publish("b", warning("four"));
  CHECK(house.lines(*peer, 6));
  const auto lines = peer->lines();
  CHECK(event_of(lines[0])->status == warning("one"));
  CHECK(id_of(lines[1]) == "1");
  CHECK(event_of(lines[2])->status == warning("two"));
  CHECK(event_of(lines[3])->status == warning("three"));
  CHECK(id_of(lines[4]) == "2");
  CHECK(event_of(lines[5])->status == warning("four"));
}

TEST_CASE("a client that is gone before its answer harms nobody") {
  House house;
  auto peer = house.watch();
  auto other = house.watch();
  peer->ask("1", "load");
  other->ask("2", "load");
  house.turns();
  REQUIRE(house.handler.kept.size() == 2);
  peer->disappear();
  CHECK(house.until([&] { return house.server->subscribers() == 1; }));
  for (auto& [request, reply] : house.handler.kept) reply(AnswerBody(answer::State{ModelState::ready}));
  CHECK(house.lines(*other, 1));
  CHECK(id_of(other->lines()[0]) == "2");
}

TEST_CASE("a client that asks and goes at once is heard") {
  House house;
  {
    Peer peer(house.path());
    peer.ask("1", "load");
  }
  CHECK(house.until([&] { return house.handler.kept.size() == 1; }));
  CHECK(house.until([&] { return house.server->subscribers() == 0; }));
}

TEST_CASE("a client that asks and does not read is not read from until it does, and then gets every answer") {
  House house;
  house.handler.ping_answer.version = std::string(8000, 'v');
  auto peer = house.watch();
  // Sends for as long as the daemon takes it: some buffers' worth and no more.
  const std::string ping = "{\"id\":\"1\",\"type\":\"ping\"}\n";
  std::string unsent;
  std::size_t asked = 0;
  for (int idle_turns = 0; idle_turns < 4;) {
    if (unsent.empty()) {
      for (int i = 0; i < 200; ++i) unsent += ping;
      asked += 200;
    }
    const std::size_t sent = peer->send_some(unsent);
    unsent.erase(0, sent);
    idle_turns = sent == 0 ? idle_turns + 1 : 0;
    house.turns();
    REQUIRE(asked < 1'000'000);
  }
  // What it has asked in one go does not decide how much is kept for it: 256 KiB of answers, the buffers and
  // one write.
  const std::size_t handled = house.handler.handled;
  CHECK(handled * 8000 < (2U << 20));
  CHECK(handled < asked);
  CHECK(house.until([&] {
    unsent.erase(0, peer->send_some(unsent));
    peer->receive();
    return unsent.empty() && peer->line_count() == asked;
  }));
  CHECK(house.handler.handled == asked);
  peer->forget();
  peer->ask("2", "ping");
  CHECK(house.lines(*peer, 1));
}

TEST_CASE("what was asked in one go is answered also where the client has ended its side") {
  House house;
  house.handler.ping_answer.version = std::string(8000, 'v');
  auto peer = house.watch();
  std::string requests;
  for (int i = 0; i < 1000; ++i) requests += fmt::format("{{\"id\":\"{}\",\"type\":\"ping\"}}\n", i);
  peer->send(requests);
  peer->end_sending();
  house.turns();
  CHECK(house.handler.handled < 1000);
  CHECK(house.lines(*peer, 1000));
  const auto lines = peer->lines();
  for (std::size_t i = 0; i < lines.size(); ++i) CHECK(id_of(lines[i]) == std::to_string(i));
}

TEST_CASE("a stop answers what was asked before") {
  House house;
  house.handler.ping_answer.version = std::string(8000, 'v');
  auto peer = house.watch();
  std::string requests;
  for (int i = 0; i < 1000; ++i) requests += fmt::format("{{\"id\":\"{}\",\"type\":\"ping\"}}\n", i);
  peer->send(requests);
  house.turns();
  bool is_closed = false;
  house.server->close(60'000, [&] { is_closed = true; });
  CHECK(house.end_of(*peer));
  CHECK(peer->line_count() == 1000);
  CHECK(house.until([&] { return is_closed; }));
}

TEST_CASE("a too long line among many requests is found when its turn comes") {
  House house;
  house.handler.ping_answer.version = std::string(8000, 'v');
  auto peer = house.watch();
  std::string requests;
  for (int i = 0; i < 1000; ++i) requests += "{\"id\":\"1\",\"type\":\"ping\"}\n";
  peer->send(requests + std::string(64 * 1024, 'x') + "xx");
  CHECK(house.end_of(*peer));
  CHECK_FALSE(peer->was_reset());
  CHECK(peer->line_count() == 1001);
  CHECK(error_of(peer->lines().back()) == ErrorCode::frame_too_large);
}

TEST_CASE("so many requests of one connection may wait, and no more") {
  House house;
  auto peer = house.watch();
  auto other = house.watch();
  for (std::size_t i = 0; i < Server::max_open_requests; ++i) {
    peer->ask("1", "load");
    if (i % 100 == 0) house.turns();
  }
  house.turns();
  REQUIRE(house.handler.kept.size() == Server::max_open_requests);
  peer->ask("2", "load");
  CHECK(house.lines(*peer, 1));
  CHECK(error_of(peer->lines()[0]) == ErrorCode::busy);
  CHECK(id_of(peer->lines()[0]) == "2");
  other->ask("3", "ping");
  CHECK(house.lines(*other, 1));
  house.handler.kept.back().second(AnswerBody(answer::State{ModelState::ready}));
  peer->ask("4", "ping");
  CHECK(house.lines(*peer, 3));
  CHECK(id_of(peer->lines()[2]) == "4");
  CHECK_FALSE(error_of(peer->lines()[2]).has_value());
}

TEST_CASE("clients that together make the daemon hold too much: whoever holds most is closed, nobody else") {
  House house;
  auto modest = house.watch();
  modest->send("{\"id\":\"modest\",");
  const std::string half(max_frame_bytes - 1, 'x');
  const std::size_t enough = Server::max_held_bytes / half.size();
  std::vector<std::unique_ptr<Peer>> peers;
  for (std::size_t i = 0; i <= enough; ++i) {
    peers.push_back(house.watch());
    peers.back()->send(half);
    house.turns();
  }
  CHECK(house.until([&] { return house.server->subscribers() == enough + 1; }));
  const auto ended = std::ranges::count_if(peers, [](const auto& peer) {
    peer->receive();
    return peer->has_ended() || peer->was_reset();
  });
  CHECK(ended == 1);
  modest->send("\"type\":\"ping\"}\n");
  CHECK(house.lines(*modest, 1));
  CHECK(id_of(modest->lines()[0]) == "modest");
}

TEST_CASE("a client's requests and their ids are what it makes the daemon hold, until they are answered") {
  House house;
  auto peer = house.watch();
  const std::string id(8000, 'i');
  for (int i = 0; i < 100; ++i) {
    peer->ask(id, "load");
    house.turns();
  }
  REQUIRE(house.handler.kept.size() == 100);
  CHECK(house.server->held_bytes() > 100 * id.size());
  for (auto& [request, reply] : house.handler.kept) reply(AnswerBody(answer::State{ModelState::ready}));
  CHECK(house.lines(*peer, 100));
  CHECK(house.server->held_bytes() == 0);
}

TEST_CASE("who has asked is seen to have gone") {
  House house;
  auto peer = house.watch();
  peer->ask("1", "load");
  house.turns();
  REQUIRE(house.handler.kept.size() == 1);
  CHECK_FALSE(house.handler.kept.front().second.asker().expired());
  peer->disappear();
  CHECK(house.until([&] { return house.handler.kept.front().second.asker().expired(); }));
}

}  // namespace
}  // namespace ggufd::admin
