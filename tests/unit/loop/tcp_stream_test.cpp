#include "loop/tcp_stream.h"

#include <string>

#include "tests/unit/loop/tcp_support.h"

namespace ggufd::loop {
namespace {

using test::Listening;
using test::much_text;
using test::piece;
using test::run_until;
using test::some_turns;
using test::TcpConnection;

std::size_t fill_tcp(TcpStream& stream) {
  const auto text = much_text();
  const iovec all = piece(*text);
  const auto written = stream.try_write({&all, 1});
  REQUIRE(written.has_value());
  REQUIRE(*written > 0);
  REQUIRE(*written < text->size());
  return *written;
}

TEST_CASE("a TCP stream that has stopped reading leaves what comes next for later") {
  Loop loop;
  Listening user;
  TcpConnection connection(loop);
  user.on_read = [&] { connection.stream->stop_reading(); };
  connection.stream->start_reading(user);
  connection.say("one");
  REQUIRE(run_until(loop, [&] { return user.read == "one"; }));
  connection.say("two");
  some_turns(loop);
  CHECK(user.read == "one");
  connection.stream->start_reading(user);
  CHECK(run_until(loop, [&] { return user.read == "onetwo"; }));
}

TEST_CASE("a TCP peer's end comes once, behind all that it sent, however long nothing was read") {
  Loop loop;
  Listening user;
  TcpConnection connection(loop);
  connection.stream->start_reading(user);
  connection.stream->stop_reading();
  const std::size_t said = connection.say(*much_text());
  SUBCASE("it closes") {
    connection.close_peer();
  }
  SUBCASE("it only ends sending") {
    shutdown(connection.peer, SHUT_WR);
  }
  SUBCASE("it closes, and we have ended our sending: the kernel calls that a hang-up") {
    connection.stream->end_writing();
    connection.close_peer();
  }
  some_turns(loop);
  CHECK(user.ends == 0);
  CHECK(user.read.empty());
  connection.stream->start_reading(user);
  REQUIRE(run_until(loop, [&] { return user.ends > 0; }));
  some_turns(loop);
  CHECK(user.read.size() == said);
  CHECK(user.ends == 1);
  CHECK(user.gone == 0);
  // With nothing to wait for there is nothing that could be told.
  CHECK(uv_loop_alive(loop.raw()) == 0);
}

TEST_CASE("the end of a TCP stream is not told again to who starts to read again") {
  Loop loop;
  Listening user;
  TcpConnection connection(loop);
  connection.stream->start_reading(user);
  connection.close_peer();
  REQUIRE(run_until(loop, [&] { return user.ends > 0; }));
  connection.stream->start_reading(user);
  connection.stream->stop_reading();
  connection.stream->start_reading(user);
  some_turns(loop);
  CHECK(user.ends == 1);
}

TEST_CASE("a TCP connection that is reset ends and is gone, behind what had arrived") {
  Loop loop;
  Listening user;
  TcpConnection connection(loop);
  connection.stream->start_reading(user);
  connection.stream->stop_reading();
  connection.say("last words");
  connection.reset_peer();
  some_turns(loop);
  CHECK(user.ends == 0);
  connection.stream->start_reading(user);
  REQUIRE(run_until(loop, [&] { return user.gone > 0; }));
  some_turns(loop);
  CHECK(user.read == "last words");
  CHECK(user.ends == 1);
  CHECK(user.gone == 1);
}

TEST_CASE("who waits for room in a TCP stream is told once there is some") {
  Loop loop;
  Listening user;
  TcpConnection connection(loop);
  connection.stream->start_reading(user);
  const std::size_t taken = fill_tcp(*connection.stream);
  connection.stream->wait_for_room();
  some_turns(loop);
  CHECK(user.rooms == 0);
  connection.hear(loop);
  REQUIRE(run_until(loop, [&] { return user.rooms > 0; }));
  // It still reads, and what was written arrives.
  connection.say("more");
  CHECK(run_until(loop, [&] { return user.read == "more" && connection.heard.size() == taken; }));
  CHECK(user.rooms == 1);
}

TEST_CASE("who waits for room in a TCP stream that is reset is told, and the next write says why") {
  Loop loop;
  Listening user;
  TcpConnection connection(loop);
  connection.stream->start_reading(user);
  connection.stream->stop_reading();
  fill_tcp(*connection.stream);
  connection.stream->wait_for_room();
  connection.reset_peer();
  REQUIRE(run_until(loop, [&] { return user.rooms > 0; }));
  std::string text = "x";
  const iovec all = piece(text);
  const auto written = connection.stream->try_write({&all, 1});
  REQUIRE_FALSE(written.has_value());
  CHECK(written.error().code == ErrorCode::network);
}

TEST_CASE("after end_writing a TCP peer reads what was written and then the end, and can still send") {
  Loop loop;
  Listening user;
  TcpConnection connection(loop);
  const std::size_t taken = fill_tcp(*connection.stream);
  connection.stream->end_writing();
  connection.hear(loop);
  REQUIRE(run_until(loop, [&] { return connection.has_ended; }));
  CHECK(connection.heard.size() == taken);
  connection.stream->start_reading(user);
  connection.say("still here");
  CHECK(run_until(loop, [&] { return user.read == "still here"; }));
}

TEST_CASE("small writes to a TCP stream do not wait for each other") {
  Loop loop;
  Listening user;
  TcpConnection connection(loop);
  connection.stream->start_reading(user);
  std::string text = "x";
  const iovec all = piece(text);
  const test::Stopwatch watch;
  connection.hear(loop);
  // Two at a time, to a peer that answers: with Nagle's algorithm the second would wait for its delayed
  // acknowledgement, 40 ms.
  for (std::size_t round = 1; round <= 100; ++round) {
    CHECK(connection.stream->try_write({&all, 1}) == 1U);
    CHECK(connection.stream->try_write({&all, 1}) == 1U);
    REQUIRE(run_until(loop, [&] { return connection.heard.size() == 2 * round; }));
    connection.say("y");
    REQUIRE(run_until(loop, [&] { return user.read.size() == round; }));
  }
  CHECK(watch.elapsed_ms() < 2000);
}

TEST_CASE("every callback may destroy the TCP stream") {
  Loop loop;
  Listening user;
  TcpConnection connection(loop);
  const auto destroy = [&] { connection.stream.reset(); };
  connection.stream->start_reading(user);
  SUBCASE("on_bytes") {
    user.on_read = destroy;
    connection.say("request");
    REQUIRE(run_until(loop, [&] { return !user.read.empty(); }));
  }
  SUBCASE("on_end, of a connection that is reset") {
    user.on_ended = destroy;
    connection.reset_peer();
    REQUIRE(run_until(loop, [&] { return user.ends > 0; }));
  }
  SUBCASE("on_room, with something to read") {
    fill_tcp(*connection.stream);
    connection.stream->stop_reading();
    connection.say("at the same time");
    connection.stream->wait_for_room();
    user.on_writable = [&] {
      connection.stream->start_reading(user);
      destroy();
    };
    connection.hear(loop);
    REQUIRE(run_until(loop, [&] { return user.rooms > 0; }));
    CHECK(user.read.empty());
  }
  some_turns(loop);
  CHECK(connection.stream == nullptr);
  CHECK(user.gone == 0);
}

TEST_CASE("an urgent byte does not keep the loop busy") {
  Loop loop;
  Listening user;
  TcpConnection connection(loop);
  connection.stream->start_reading(user);
  connection.stream->stop_reading();
  REQUIRE(::send(connection.peer, "x", 1, MSG_OOB | MSG_NOSIGNAL) == 1);
  some_turns(loop);
  // With nothing asked for there is nothing to be told: the loop has no more to do.
  loop.run();
  CHECK(user.read.empty());
  connection.stream->start_reading(user);
  connection.say("still here");
  CHECK(run_until(loop, [&] { return user.read == "still here"; }));
}

}  // namespace
}  // namespace ggufd::loop
