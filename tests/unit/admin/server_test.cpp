// The admin socket: who is served, how many, and how connections begin and end.
#include "admin/server.h"

#include <sys/stat.h>

#include "support.h"

namespace ggufd::admin {
namespace {

using namespace test;

TEST_CASE("who is served") {
  const auto served = [](const config::AdminConfig& config, uid_t uid, gid_t gid) {
    return is_served(config, {.uid = uid, .gid = gid, .pid = 1}, {3, 4}, 1000);
  };
  CHECK(served({}, 1000, 1000));
  CHECK(served({}, 0, 0));
  CHECK_FALSE(served({}, 1001, 1000));
  CHECK_FALSE(served({}, 1001, 0));
  CHECK(served({.allow_uids = {7, 1001}}, 1001, 5));
  CHECK_FALSE(served({.allow_uids = {7}}, 1001, 7));
  CHECK(served({.allow_gids = {5}}, 1001, 5));
  CHECK_FALSE(served({.allow_gids = {1001}}, 1001, 5));
  CHECK(served({.allow_gids = {4}}, 1001, 5));  // one of its other groups
}

TEST_CASE("the kernel says who has connected") {
  House house;
  auto peer = house.watch();
  peer->ask("1", "load");
  house.turns();
  CHECK(house.handler.last_peer.uid == geteuid());
  CHECK(house.handler.last_peer.pid == getpid());
  if (geteuid() != 0) return;  // only root can become somebody else
  REQUIRE(chmod(house.folder.file("").c_str(), 0755) == 0);
  REQUIRE(chmod(house.path().c_str(), 0666) == 0);
  REQUIRE(seteuid(65'534) == 0);
  Peer stranger(house.path());
  REQUIRE(seteuid(0) == 0);
  CHECK(house.end_of(stranger));
  CHECK(stranger.bytes().empty());
  CHECK(house.server->subscribers() == 1);
}

TEST_CASE("the socket's mode follows who is served") {
  CHECK(socket_access({}).mode == 0600);
  CHECK(socket_access({.allow_uids = {7}}).mode == 0666);
  CHECK(socket_access({.allow_gids = {1, 2}}).mode == 0666);
  CHECK(socket_access({.allow_uids = {7}, .allow_gids = {getegid()}}).mode == 0666);
  const loop::SocketAccess one_group = socket_access({.allow_gids = {getegid()}});
  CHECK(one_group.mode == 0660);
  CHECK(one_group.group == getegid());
}

TEST_CASE("a user that the configuration allows is served") {
  if (geteuid() != 0) return;  // only root can become somebody else
  House house({}, {.allow_uids = {65'534}});
  REQUIRE(chmod(house.folder.file("").c_str(), 0711) == 0);
  house.log.publish("b", status::Ready{});
  REQUIRE(seteuid(65'534) == 0);
  Peer friendly(house.path());
  REQUIRE(seteuid(0) == 0);
  CHECK(house.lines(friendly, 1));
}

TEST_CASE("some descriptors are kept for the daemon's own work") {
  CHECK(subscriber_limit(16'384, 1'000'000) == 16'384);
  CHECK(subscriber_limit(16'384, 10'000) == 10'000 - 256);
  CHECK(subscriber_limit(16'384, 1024) == 1024 - 128);
  CHECK(subscriber_limit(10, 1024) == 10);
}

TEST_CASE("no more than max_subscribers are taken, and a place that becomes free is given away") {
  House house({}, {.max_subscribers = 2});
  house.log.publish("b", status::Ready{});
  auto first = house.connect();
  auto second = house.connect();
  auto third = house.connect();
  CHECK(house.end_of(*third));
  REQUIRE(third->line_count() == 1);  // why
  const auto reason = event_of(third->lines()[0]);
  REQUIRE(kind_of(reason->status) == StatusKind::warning);
  CHECK(std::get<status::Warning>(reason->status).code == "busy");
  CHECK(house.server->subscribers() == 2);
  first->disappear();
  house.turns();
  auto fourth = house.connect();
  CHECK(house.lines(*fourth, 1));
}

TEST_CASE("a connection that is closed is noticed without an event") {
  House house;
  house.log.publish("b", status::Ready{});
  auto peer = house.connect();
  auto other = house.connect();
  CHECK(house.server->subscribers() == 2);
  SUBCASE("with everything read") {
    peer->receive();
  }
  SUBCASE("with something unread") {}
  peer->disappear();
  CHECK(house.until([&] { return house.server->subscribers() == 1; }));
  CHECK_FALSE(house.has_running_timer());
}

TEST_CASE("who has ended its sending still gets its answer and the events") {
  House house;
  auto peer = house.watch();
  peer->ask("1", "load");
  peer->ask("2", "ping");
  peer->end_sending();
  CHECK(house.lines(*peer, 1));
  house.log.publish("b", warning());
  house.handler.kept.front().second(AnswerBody(answer::State{ModelState::ready}));
  CHECK(house.lines(*peer, 3));
  CHECK(id_of(peer->lines()[0]) == "2");
  CHECK(event_of(peer->lines()[1])->status == warning());
  CHECK(id_of(peer->lines()[2]) == "1");
  CHECK(house.server->subscribers() == 1);
}

TEST_CASE("who has ended its sending and then goes is noticed without an event, and without looking") {
  House house;
  auto peer = house.watch();
  peer->end_sending();
  house.turns();
  CHECK(house.server->subscribers() == 1);
  CHECK_FALSE(house.has_running_timer());
  CHECK(uv_backend_timeout(house.loop.raw()) == -1);
  peer->disappear();
  CHECK(house.until([&] { return house.server->subscribers() == 0; }));
}

TEST_CASE("a reader that takes nothing is closed when the patience ends") {
  House house({.stall_ms = 40, .watch_interval_ms = 5});
  auto peer = house.watch();
  auto reader = house.watch();
  house.fill();
  REQUIRE(house.server->subscribers() == 2);
  CHECK(house.until([&] {
    reader->receive();
    return house.server->subscribers() == 1;
  }));
  CHECK_FALSE(reader->has_ended());
  house.log.publish("b", warning("the last"));
  CHECK(house.until([&] {
    reader->receive();
    return reader->bytes().find("the last") != std::string::npos;
  }));
}

TEST_CASE("closing: nobody new, what is owed is written, then the end") {
  House house;
  auto reader = house.watch();
  auto slow = house.watch();
  const std::size_t count = house.fill();
  bool is_closed = false;
  house.log.publish(status::Draining{});
  house.server->close(60'000, [&] { is_closed = true; });
  CHECK(house.end_of(*reader));
  CHECK(reader->line_count() == count + 1);
  CHECK_FALSE(is_closed);
  CHECK(access(house.path().c_str(), F_OK) != 0);
  SUBCASE("a reader that goes on") {}
  SUBCASE("a reader that has nothing to say any more") {
    slow->end_sending();
  }
  house.turns();
  CHECK(house.end_of(*slow));
  CHECK_FALSE(slow->was_reset());
  CHECK(slow->line_count() == count + 1);
  CHECK(house.until([&] { return is_closed; }));
  CHECK_FALSE(house.has_running_timer());
}

TEST_CASE("closing: who does not read is cut off after the limit") {
  House house;
  auto slow = house.watch();
  house.fill();
  bool is_closed = false;
  house.server->close(20, [&] { is_closed = true; });
  CHECK(house.until([&] { return is_closed; }));
  CHECK(house.server->subscribers() == 0);
}

TEST_CASE("closing a server that nobody is connected to") {
  House house;
  bool is_closed = false;
  house.server->close(60'000, [&] { is_closed = true; });
  CHECK_FALSE(is_closed);  // not from inside
  house.loop.run();
  CHECK(is_closed);
}

TEST_CASE("a server is destroyed with writes and answers outstanding") {
  House house;
  auto asker = house.watch();
  auto slow = house.watch();
  asker->ask("1", "load");
  house.fill();
  house.log.publish("b", warning());
  house.server.reset();
  // The requests' owner lets them go after the server: their answers have nobody to go to.
  house.handler.kept.clear();
  house.turns();
  CHECK(house.end_of(*asker));
}

}  // namespace
}  // namespace ggufd::admin
