#include "loop/stream.h"

#include <memory>
#include <optional>
#include <string>

#include "tests/unit/loop/support.h"

namespace ggufd::loop {
namespace {

using test::Connection;
using test::much_text;
using test::piece;
using test::run_until;
using test::Token;

// Fills the connection's buffers; the number of bytes they took.
std::size_t fill(Stream& stream, std::string& text) {
  const uv_buf_t all = piece(text);
  const auto written = stream.try_write({&all, 1});
  REQUIRE(written.has_value());
  REQUIRE(*written > 0);
  REQUIRE(*written < text.size());
  return *written;
}

// A write() that cannot end by itself, as the peer does not read.
struct StuckWrite {
  std::shared_ptr<std::string> text = much_text();
  std::weak_ptr<std::string> watch = text;
  int calls = 0;
  bool is_ok = false;

  explicit StuckWrite(Stream& stream) {
    const uv_buf_t all = piece(*text);
    stream.write({&all, 1}, std::move(text), [this](bool ok) {
      ++calls;
      is_ok = ok;
    });
  }
};

TEST_CASE("a stream reads what its peer sends") {
  Loop loop;
  Connection connection(loop);
  std::string read;
  connection.stream->start_reading([&](std::string_view bytes) { read += bytes; }, [] {});
  connection.client->send("one ");
  connection.client->send("two");
  CHECK(run_until(loop, [&] { return read == "one two"; }));
}

TEST_CASE("a stream that has stopped reading leaves what comes next for later") {
  Loop loop;
  Connection connection(loop);
  std::string read;
  const auto append = [&](std::string_view bytes) {
    read += bytes;
    connection.stream->stop_reading();
  };
  connection.stream->start_reading(append, [] {});
  connection.client->send("one");
  REQUIRE(run_until(loop, [&] { return read == "one"; }));
  connection.client->send("two");
  bool has_waited = false;
  Timer wait(loop, [&] { has_waited = true; });
  wait.start_once(10);
  REQUIRE(run_until(loop, [&] { return has_waited; }));
  CHECK(read == "one");
  connection.stream->start_reading(append, [] {});
  CHECK(run_until(loop, [&] { return read == "onetwo"; }));
}

TEST_CASE("the peer's end comes once, after all that it sent") {
  Loop loop;
  Connection connection(loop);
  std::string read;
  int ends = 0;
  connection.stream->start_reading([&](std::string_view bytes) { read += bytes; }, [&] { ++ends; });
  connection.client->send("last words");
  SUBCASE("it closes") {
    connection.client->disappear();
  }
  SUBCASE("it only ends sending") {
    connection.client->end_sending();
  }
  REQUIRE(run_until(loop, [&] { return ends > 0; }));
  CHECK(read == "last words");
  connection.stream->stop_reading();
  connection.stream.reset();
  CHECK(ends == 1);
}

TEST_CASE("a peer that closes with unread data is an end like any other") {
  Loop loop;
  Connection connection(loop);
  std::string text = "never read";
  const uv_buf_t all = piece(text);
  REQUIRE(connection.stream->try_write({&all, 1}) == text.size());
  int ends = 0;
  connection.stream->start_reading([](std::string_view) {}, [&] { ++ends; });
  connection.client->disappear();
  REQUIRE(run_until(loop, [&] { return ends > 0; }));
  CHECK(ends == 1);
}

TEST_CASE("a stream can still write to a peer that has ended sending") {
  Loop loop;
  Connection connection(loop);
  bool has_ended = false;
  connection.stream->start_reading([](std::string_view) {}, [&] { has_ended = true; });
  connection.client->end_sending();
  REQUIRE(run_until(loop, [&] { return has_ended; }));
  std::string text = "an answer";
  const uv_buf_t all = piece(text);
  CHECK(connection.stream->try_write({&all, 1}) == text.size());
  connection.client->receive();
  CHECK(connection.client->received == "an answer");
}

TEST_CASE("try_write writes several pieces in order at once") {
  Loop loop;
  Connection connection(loop);
  std::string first = "one ";
  std::string second = "two";
  const std::array<uv_buf_t, 2> pieces{piece(first), piece(second)};
  CHECK(connection.stream->try_write(pieces) == 7U);
  connection.client->receive();
  CHECK(connection.client->received == "one two");
}

TEST_CASE("try_write writes what the socket takes of it, and nothing where it is full") {
  Loop loop;
  Connection connection(loop);
  const auto text = much_text();
  const std::size_t taken = fill(*connection.stream, *text);
  const uv_buf_t more = piece(*text);
  CHECK(connection.stream->try_write({&more, 1}) == 0U);
  connection.client->receive();
  CHECK(connection.client->received.size() == taken);
}

TEST_CASE("try_write to a peer that has gone is an error") {
  Loop loop;
  Connection connection(loop);
  connection.client->disappear();
  std::string text = "x";
  const uv_buf_t all = piece(text);
  const auto written = connection.stream->try_write({&all, 1});
  REQUIRE_FALSE(written.has_value());
  CHECK(written.error().code == ErrorCode::io);
}

TEST_CASE("a write is under way until the peer has read enough, and all of it arrives") {
  Loop loop;
  Connection connection(loop);
  StuckWrite write(*connection.stream);
  const std::size_t size = test::much_text()->size();
  CHECK(connection.stream->is_writing());
  CHECK(write.calls == 0);
  CHECK_FALSE(write.watch.expired());
  REQUIRE(run_until(loop, [&] {
    connection.client->receive();
    return connection.client->received.size() == size && write.calls > 0;
  }));
  CHECK(write.calls == 1);
  CHECK(write.is_ok);
  CHECK(write.watch.expired());
  CHECK_FALSE(connection.stream->is_writing());
}

TEST_CASE("a write continues what try_write has begun") {
  Loop loop;
  Connection connection(loop);
  const auto text = much_text();
  std::string first = *text + "a";
  std::string second = "b";
  const std::size_t taken = fill(*connection.stream, first);
  const std::array<uv_buf_t, 2> rest{
      uv_buf_init(first.data() + taken, static_cast<unsigned>(first.size() - taken)), piece(second)};
  bool is_written = false;
  connection.stream->write(rest, text, [&](bool ok) { is_written = ok; });
  REQUIRE(run_until(loop, [&] {
    connection.client->receive();
    return connection.client->received.size() == first.size() + second.size();
  }));
  CHECK(connection.client->received == first + second);
  CHECK(run_until(loop, [&] { return is_written; }));
}

TEST_CASE("a write to a peer that disappears fails and frees what it held") {
  Loop loop;
  Connection connection(loop);
  StuckWrite write(*connection.stream);
  connection.client->disappear();
  REQUIRE(run_until(loop, [&] { return write.calls > 0; }));
  CHECK(write.calls == 1);
  CHECK_FALSE(write.is_ok);
  CHECK(write.watch.expired());
  CHECK_FALSE(connection.stream->is_writing());
}

TEST_CASE("a deadline ends a write by destroying the stream") {
  Loop loop;
  Connection connection(loop);
  StuckWrite write(*connection.stream);
  Timer deadline(loop, [&] { connection.stream.reset(); });
  deadline.start_once(10);
  REQUIRE(run_until(loop, [&] { return write.watch.expired(); }));
  CHECK(write.calls == 0);
}

TEST_CASE("destroying a stream with a write under way frees what it held; no callback comes") {
  Loop loop;
  Connection connection(loop);
  StuckWrite write(*connection.stream);
  connection.stream.reset();
  CHECK(run_until(loop, [&] { return write.watch.expired(); }));
  CHECK(write.calls == 0);
  connection.client->receive();
  CHECK(connection.client->has_ended);
}

TEST_CASE("the callback of a write may destroy the stream") {
  Loop loop;
  Connection connection(loop);
  std::string text = "short";
  const uv_buf_t all = piece(text);
  Token token;
  std::string seen;
  connection.stream->write({&all, 1}, nullptr, [&seen, &connection, held = std::move(token.held)](bool) {
    connection.stream.reset();
    seen = *held;
  });
  REQUIRE(run_until(loop, [&] { return !seen.empty(); }));
  CHECK(token.watch.expired());
}

TEST_CASE("the callback of a write may start the next one") {
  Loop loop;
  Connection connection(loop);
  std::string text = "again ";
  const uv_buf_t all = piece(text);
  bool is_done = false;
  connection.stream->write({&all, 1}, nullptr, [&](bool) {
    connection.stream->write({&all, 1}, nullptr, [&](bool ok) { is_done = ok; });
  });
  REQUIRE(run_until(loop, [&] { return is_done; }));
  connection.client->receive();
  CHECK(connection.client->received == "again again ");
}

TEST_CASE("on_bytes may destroy the stream") {
  Loop loop;
  Connection connection(loop);
  Token token;
  std::string seen;
  connection.stream->start_reading(
      [&seen, &connection, held = std::move(token.held)](std::string_view bytes) {
        connection.stream.reset();
        seen = std::string(bytes) + ": " + *held;
      },
      [] {});
  connection.client->send("request");
  REQUIRE(run_until(loop, [&] { return !seen.empty(); }));
  CHECK(seen == "request: a string that is not stored inline");
  CHECK(token.watch.expired());
}

TEST_CASE("on_end may destroy the stream") {
  Loop loop;
  Connection connection(loop);
  Token token;
  std::string seen;
  connection.stream->start_reading([](std::string_view) {},
                                   [&seen, &connection, held = std::move(token.held)] {
                                     connection.stream.reset();
                                     seen = *held;
                                   });
  connection.client->disappear();
  REQUIRE(run_until(loop, [&] { return !seen.empty(); }));
  CHECK(token.watch.expired());
}

TEST_CASE("on_bytes may replace the functions that are called") {
  Loop loop;
  Connection connection(loop);
  std::string seen;
  connection.stream->start_reading(
      [&](std::string_view) {
        connection.stream->start_reading([&](std::string_view bytes) { seen = bytes; }, [] {});
      },
      [] {});
  connection.client->send("first");
  bool is_sent = false;
  REQUIRE(run_until(loop, [&] {
    if (!std::exchange(is_sent, true)) return false;
    connection.client->send("second");
    return true;
  }));
  CHECK(run_until(loop, [&] { return seen.find("second") != std::string::npos; }));
}

TEST_CASE("after end_writing the peer reads what was written and then the end, and can still send") {
  Loop loop;
  Connection connection(loop);
  StuckWrite write(*connection.stream);
  const std::size_t size = test::much_text()->size();
  connection.stream->end_writing();
  REQUIRE(run_until(loop, [&] {
    connection.client->receive();
    return connection.client->has_ended;
  }));
  CHECK(connection.client->received.size() == size);
  CHECK(write.is_ok);
  std::string read;
  connection.stream->start_reading([&](std::string_view bytes) { read += bytes; }, [] {});
  connection.client->send("still here");
  CHECK(run_until(loop, [&] { return read == "still here"; }));
}

TEST_CASE("end_writing twice, or on a stream that is then destroyed, does no harm") {
  Loop loop;
  Connection connection(loop);
  connection.stream->end_writing();
  connection.stream->end_writing();
  connection.stream.reset();
  REQUIRE(run_until(loop, [&] {
    connection.client->receive();
    return connection.client->has_ended;
  }));
}

TEST_CASE("a write that cannot begin fails in a later turn") {
  Loop loop;
  Connection connection(loop);
  connection.stream->end_writing();
  StuckWrite write(*connection.stream);
  CHECK(write.calls == 0);
  CHECK(connection.stream->is_writing());
  REQUIRE(run_until(loop, [&] { return write.calls > 0; }));
  CHECK_FALSE(write.is_ok);
  CHECK(write.watch.expired());
  CHECK_FALSE(connection.stream->is_writing());
}

TEST_CASE("destroying a stream whose write could not begin: no callback comes") {
  Loop loop;
  Connection connection(loop);
  connection.stream->end_writing();
  StuckWrite write(*connection.stream);
  connection.stream.reset();
  CHECK(run_until(loop, [&] { return write.watch.expired(); }));
  bool has_turned = false;
  loop.at_end_of_turn([&] { has_turned = true; });
  REQUIRE(run_until(loop, [&] { return has_turned; }));
  CHECK(write.calls == 0);
}

TEST_CASE("a peer is gone once it has closed, not where it has only ended sending") {
  Loop loop;
  Connection connection(loop);
  CHECK_FALSE(connection.stream->peer_is_gone());
  connection.client->end_sending();
  CHECK_FALSE(connection.stream->peer_is_gone());
  connection.client->disappear();
  CHECK(connection.stream->peer_is_gone());
}

TEST_CASE("a write under way tells how much of it the socket has not taken") {
  Loop loop;
  Connection connection(loop);
  CHECK(connection.stream->unwritten_bytes() == 0);
  StuckWrite write(*connection.stream);
  const std::size_t size = much_text()->size();
  const std::size_t unwritten = connection.stream->unwritten_bytes();
  CHECK(unwritten > 0);
  CHECK(unwritten < size);
  connection.client->receive();
  CHECK(connection.client->received.size() == size - unwritten);
  REQUIRE(run_until(loop, [&] {
    connection.client->receive();
    return write.calls > 0;
  }));
  CHECK(connection.stream->unwritten_bytes() == 0);
}

TEST_CASE("a stream without a connection has no peer") {
  Loop loop;
  const Stream stream(loop);
  const auto peer = stream.peer();
  REQUIRE_FALSE(peer.has_value());
  CHECK(peer.error().code == ErrorCode::io);
}

}  // namespace
}  // namespace ggufd::loop
