#include "loop/stream.h"

#include <memory>
#include <string>

#include "tests/unit/loop/support.h"

namespace ggufd::loop {
namespace {

using test::Connection;
using test::Listening;
using test::much_text;
using test::piece;
using test::run_until;

// Fills the connection's buffers; the number of bytes they took.
std::size_t fill(Stream& stream) {
  const auto text = much_text();
  const iovec all = piece(*text);
  const auto written = stream.try_write({&all, 1});
  REQUIRE(written.has_value());
  REQUIRE(*written > 0);
  REQUIRE(*written < text->size());
  return *written;
}

// Lets the loop work off everything that it could do without waiting.
void turns(Loop& loop) {
  for (int turn = 0; turn < 4; ++turn) uv_run(loop.raw(), UV_RUN_NOWAIT);
}

TEST_CASE("a stream reads what its peer sends") {
  Loop loop;
  Listening user;
  Connection connection(loop);
  connection.stream->start_reading(user);
  connection.client->send("one ");
  connection.client->send("two");
  CHECK(run_until(loop, [&] { return user.read == "one two"; }));
}

TEST_CASE("more than one buffer's worth arrives whole") {
  Loop loop;
  Listening user;
  Connection connection(loop);
  connection.stream->start_reading(user);
  const std::string text(150'000, 'x');
  connection.client->send(text);
  CHECK(run_until(loop, [&] { return user.read.size() == text.size(); }));
}

TEST_CASE("a stream that has stopped reading leaves what comes next for later") {
  Loop loop;
  Listening user;
  Connection connection(loop);
  user.on_read = [&] { connection.stream->stop_reading(); };
  connection.stream->start_reading(user);
  connection.client->send("one");
  REQUIRE(run_until(loop, [&] { return user.read == "one"; }));
  connection.client->send("two");
  turns(loop);
  CHECK(user.read == "one");
  connection.stream->start_reading(user);
  CHECK(run_until(loop, [&] { return user.read == "onetwo"; }));
}

TEST_CASE("the peer's end comes once, after all that it sent") {
  Loop loop;
  Listening user;
  Connection connection(loop);
  connection.stream->start_reading(user);
  connection.client->send("last words");
  int gone = 0;
  SUBCASE("it closes") {
    connection.client->disappear();
    gone = 1;
  }
  SUBCASE("it only ends sending") {
    connection.client->end_sending();
  }
  REQUIRE(run_until(loop, [&] { return user.ends > 0; }));
  turns(loop);
  CHECK(user.read == "last words");
  CHECK(user.ends == 1);
  CHECK(user.gone == gone);
}

TEST_CASE("what was said before the peer went with something unread is still heard") {
  Loop loop;
  Listening user;
  Connection connection(loop);
  std::string text = "never read";
  const iovec all = piece(text);
  REQUIRE(connection.stream->try_write({&all, 1}) == text.size());
  connection.client->send(std::string(100'000, 'x'));
  connection.client->disappear();
  connection.stream->start_reading(user);
  REQUIRE(run_until(loop, [&] { return user.gone > 0; }));
  CHECK(user.read.size() == 100'000);
  CHECK(user.ends == 1);
  turns(loop);
  CHECK(user.gone == 1);
}

TEST_CASE("a peer that has ended sending is quiet until it goes, and can be written to meanwhile") {
  Loop loop;
  Listening user;
  Connection connection(loop);
  connection.stream->start_reading(user);
  connection.client->end_sending();
  REQUIRE(run_until(loop, [&] { return user.ends > 0; }));
  turns(loop);
  // Nothing is due and nothing is ready: the loop would wait for ever.
  CHECK(uv_backend_timeout(loop.raw()) == -1);
  std::string text = "an answer";
  const iovec all = piece(text);
  CHECK(connection.stream->try_write({&all, 1}) == text.size());
  connection.client->receive();
  CHECK(connection.client->received == "an answer");
  CHECK(user.gone == 0);
  connection.client->disappear();
  CHECK(run_until(loop, [&] { return user.gone == 1; }));
}

TEST_CASE("a stream that does not read notices that its peer has gone") {
  Loop loop;
  Listening user;
  Connection connection(loop);
  connection.stream->start_reading(user);
  connection.stream->stop_reading();
  SUBCASE("with everything read") {}
  SUBCASE("with something unread") {
    fill(*connection.stream);
  }
  SUBCASE("while it waits for room") {
    fill(*connection.stream);
    connection.stream->wait_for_room();
  }
  connection.client->send("unheard");
  connection.client->disappear();
  REQUIRE(run_until(loop, [&] { return user.gone > 0; }));
  turns(loop);
  CHECK(user.ends == 1);
  CHECK(user.gone == 1);
  CHECK(user.read.empty());
}

TEST_CASE("try_write writes several pieces in order at once") {
  Loop loop;
  Connection connection(loop);
  std::string first = "one ";
  std::string second = "two";
  const std::array<iovec, 2> pieces{piece(first), piece(second)};
  CHECK(connection.stream->try_write(pieces) == 7U);
  connection.client->receive();
  CHECK(connection.client->received == "one two");
}

TEST_CASE("try_write writes what the socket takes of it, and nothing where it is full") {
  Loop loop;
  Connection connection(loop);
  const std::size_t taken = fill(*connection.stream);
  std::string more = "x";
  const iovec all = piece(more);
  std::size_t drops = 0;
  while (connection.stream->try_write({&all, 1}) == 1U) ++drops;  // what is left of the last buffer
  CHECK(connection.stream->try_write({&all, 1}) == 0U);
  connection.client->receive();
  CHECK(connection.client->received.size() == taken + drops);
}

TEST_CASE("try_write to a peer that has gone is an error and no signal") {
  Loop loop;
  Connection connection(loop);
  connection.client->disappear();
  std::string text = "x";
  const iovec all = piece(text);
  const auto written = connection.stream->try_write({&all, 1});
  REQUIRE_FALSE(written.has_value());
  CHECK(written.error().code == ErrorCode::network);
}

TEST_CASE("who waits for room is told once there is some") {
  Loop loop;
  Listening user;
  Connection connection(loop);
  connection.stream->start_reading(user);
  const std::size_t taken = fill(*connection.stream);
  connection.stream->wait_for_room();
  turns(loop);
  CHECK(user.rooms == 0);
  CHECK(connection.stream->waits_for_room());
  connection.client->receive();
  CHECK(connection.client->received.size() == taken);
  REQUIRE(run_until(loop, [&] { return user.rooms > 0; }));
  CHECK_FALSE(connection.stream->waits_for_room());
  turns(loop);
  CHECK(user.rooms == 1);
  // It still reads.
  connection.client->send("more");
  CHECK(run_until(loop, [&] { return user.read == "more"; }));
}

TEST_CASE("on_room may wait again") {
  Loop loop;
  Listening user;
  Connection connection(loop);
  connection.stream->start_reading(user);
  user.on_writable = [&] {
    fill(*connection.stream);
    connection.stream->wait_for_room();
  };
  user.on_writable();
  REQUIRE(run_until(loop, [&] {
    connection.client->receive();
    return user.rooms == 3;
  }));
}

TEST_CASE("what the peer has not read is told before there is room for more") {
  Loop loop;
  Connection connection(loop);
  fill(*connection.stream);
  const std::size_t unread = connection.stream->unread_kernel_bytes();
  CHECK(unread > 0);
  connection.client->receive(64 * 1024);
  const std::size_t less = connection.stream->unread_kernel_bytes();
  CHECK(less < unread);
  CHECK(less > 0);
  connection.client->receive();
  CHECK(connection.stream->unread_kernel_bytes() == 0);
}

TEST_CASE("every callback may destroy the stream") {
  Loop loop;
  Listening user;
  Connection connection(loop);
  const auto destroy = [&] { connection.stream.reset(); };
  connection.stream->start_reading(user);
  SUBCASE("on_bytes") {
    user.on_read = destroy;
    connection.client->send("request");
    REQUIRE(run_until(loop, [&] { return !user.read.empty(); }));
  }
  SUBCASE("on_end, of a peer that goes") {
    user.on_ended = destroy;
    connection.client->disappear();
    REQUIRE(run_until(loop, [&] { return user.ends > 0; }));
  }
  SUBCASE("on_room") {
    fill(*connection.stream);
    connection.stream->wait_for_room();
    user.on_writable = destroy;
    connection.client->send("at the same time");
    connection.client->receive();
    REQUIRE(run_until(loop, [&] { return user.rooms > 0; }));
    CHECK(user.read.empty());
  }
  turns(loop);
  CHECK(connection.stream == nullptr);
  CHECK(user.gone == 0);
}

TEST_CASE("a destroyed stream is closed, and its descriptor free for the next at once") {
  Loop loop;
  Listening user;
  Connection connection(loop);
  connection.stream->start_reading(user);
  connection.stream.reset();
  connection.client->receive();
  CHECK(connection.client->has_ended);
  // The next socket gets the same number, while libuv has not called back yet.
  Connection next(loop);
  Listening next_user;
  next.stream->start_reading(next_user);
  next.client->send("hello");
  CHECK(run_until(loop, [&] { return next_user.read == "hello"; }));
  CHECK(user.read.empty());
}

TEST_CASE("after end_writing the peer reads what was written and then the end, and can still send") {
  Loop loop;
  Listening user;
  Connection connection(loop);
  const std::size_t taken = fill(*connection.stream);
  connection.stream->end_writing();
  connection.stream->end_writing();
  connection.client->receive();
  CHECK(connection.client->has_ended);
  CHECK(connection.client->received.size() == taken);
  connection.stream->start_reading(user);
  connection.client->send("still here");
  CHECK(run_until(loop, [&] { return user.read == "still here"; }));
}

TEST_CASE("an urgent byte that nobody reads keeps the loop no busier than anything else") {
  Loop loop;
  Listening user;
  std::array<int, 2> ends{};
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) == 0);
  auto stream = Stream::take(loop, ends[0]);
  REQUIRE(stream.has_value());
  (*stream)->start_reading(user);
  (*stream)->stop_reading();
  // Kernels without them refuse to send one.
  const bool is_sent = send(ends[1], "!", 1, MSG_OOB | MSG_NOSIGNAL) == 1;
  bool is_over = false;
  Timer over(loop, [&] { is_over = true; });
  over.start_once(100);
  int turns = 0;
  while (!is_over) {
    uv_run(loop.raw(), UV_RUN_ONCE);
    ++turns;
  }
  CHECK(turns < 20);
  if (!is_sent) MESSAGE("this kernel has no urgent bytes on Unix sockets");
  close(ends[1]);
}

TEST_CASE("the groups of a peer are the kernel's") {
  Loop loop;
  Connection connection(loop);
  std::vector<gid_t> own(64);
  const int count = getgroups(static_cast<int>(own.size()), own.data());
  REQUIRE(count >= 0);
  own.resize(static_cast<std::size_t>(count));
  CHECK(connection.stream->peer_groups() == own);
}

}  // namespace
}  // namespace ggufd::loop
