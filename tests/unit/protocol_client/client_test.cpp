#include "protocol/client.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/unit/protocol_client/fake_daemon.h"

namespace ggufd {
namespace {

using namespace std::chrono_literals;
using test::FakeDaemon;
using test::Peer;
using Kind = ClientError::Kind;

// Long enough for a loaded machine, short enough to notice.
constexpr auto patience = 20s;
Deadline soon() {
  return deadline_in(patience);
}

Client connected(const FakeDaemon& daemon) {
  auto client = Client::connect(daemon.socket(), soon());
  REQUIRE(client.has_value());
  return std::move(*client);
}

// Both ends of a connection, for what needs no thread.
struct Pair {
  Pair() {
    int ends[2] = {-1, -1};
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    client = Client(ends[0]);
    daemon_end = ends[1];
  }
  ~Pair() { close_daemon(); }
  void say(std::string_view bytes) const {
    REQUIRE(write(daemon_end, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  }
  void close_daemon() {
    if (daemon_end >= 0) close(daemon_end);
    daemon_end = -1;
  }

  Client client{-1};
  int daemon_end = -1;
};

StatusEvent ready_event(std::uint64_t seq) {
  return {.status = status::Ready{.load_ms = 5, .warm_up_ms = {}, .infer_socket = {}},
          .model = "m",
          .seq = seq,
          .ts = {1000}};
}

const StatusEvent* event_of(const ClientResult<Frame>& frame) {
  return frame ? std::get_if<StatusEvent>(&*frame) : nullptr;
}

}  // namespace

TEST_CASE("client: frames come in order, wherever the bytes are split") {
  const std::string bytes = encoded(ready_event(1)) + encoded(ready_event(2));
  for (std::size_t split = 0; split <= bytes.size(); ++split) {
    CAPTURE(split);
    Pair pair;
    pair.say(std::string_view(bytes).substr(0, split));
    std::thread rest([&] { pair.say(std::string_view(bytes).substr(split)); });
    const auto first = pair.client.read_frame(soon());
    const auto second = pair.client.read_frame(soon());
    rest.join();
    REQUIRE(event_of(first));
    REQUIRE(event_of(second));
    CHECK(*event_of(first) == ready_event(1));
    CHECK(*event_of(second) == ready_event(2));
  }
}

TEST_CASE("client: the line of a frame is kept as it came") {
  Pair pair;
  const std::string line = R"({"id":"admin", "type":"status","status":"new_thing","later":[1]})";
  pair.say(line + "\n");
  const auto frame = pair.client.read_frame(soon());
  REQUIRE(frame.has_value());
  CHECK(std::holds_alternative<UnknownFrame>(*frame));
  CHECK(pair.client.line() == line);
}

TEST_CASE("client: frames that came together do not wait") {
  Pair pair;
  pair.say(encoded(ready_event(1)) + encoded(ready_event(2)));
  CHECK_FALSE(pair.client.has_frame());
  REQUIRE(pair.client.read_frame(soon()).has_value());
  CHECK(pair.client.has_frame());
  REQUIRE(pair.client.read_frame(soon()).has_value());
  CHECK_FALSE(pair.client.has_frame());
}

TEST_CASE("client: the end, a deadline and garbage are told apart") {
  Pair pair;
  const auto late = pair.client.read_frame(deadline_in(10ms));
  REQUIRE_FALSE(late.has_value());
  CHECK(late.error().kind == Kind::timed_out);

  pair.say("HTTP/1.1 400 Bad Request\n" + encoded(ready_event(1)) + "half a li");
  const auto garbage = pair.client.read_frame(soon());
  REQUIRE_FALSE(garbage.has_value());
  CHECK(garbage.error().kind == Kind::garbage);

  // A bad line is passed over.
  CHECK(event_of(pair.client.read_frame(soon())));

  pair.close_daemon();
  const auto end = pair.client.read_frame(soon());
  REQUIRE_FALSE(end.has_value());
  CHECK(end.error().kind == Kind::closed);
}

TEST_CASE("client: a line that no frame can have ends the reading") {
  Pair pair;
  const std::string line(max_frame_bytes + 1, 'x');
  std::thread daemon([&] { pair.say(line); });
  for (int i = 0; i < 2; ++i) {
    const auto frame = pair.client.read_frame(soon());
    REQUIRE_FALSE(frame.has_value());
    CHECK(frame.error().kind == Kind::garbage);
  }
  daemon.join();
}

TEST_CASE("client: a peer that closes without reading is an end, not a failure") {
  Pair pair;
  REQUIRE(pair.client.send(request::Ping{}, soon()).has_value());
  pair.close_daemon();
  const auto frame = pair.client.read_frame(soon());
  REQUIRE_FALSE(frame.has_value());
  CHECK(frame.error().kind == Kind::closed);
  // No SIGPIPE either.
  const auto sent = pair.client.send(request::Ping{}, soon());
  REQUIRE_FALSE(sent.has_value());
  CHECK(sent.error().kind == Kind::closed);
}

TEST_CASE("client: what the daemon said before it turned the client away is its answer") {
  Pair pair;
  pair.say(R"({"id":"","type":"error","code":"busy","message":"too many subscribers"})"
           "\n");
  pair.close_daemon();
  const auto answer = pair.client.ask<answer::Ping>(request::Ping{}, soon());
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error() == ClientError{Kind::refused, {ErrorCode::busy, "too many subscribers"}});
}

TEST_CASE("client: a send to a daemon that does not read ends at the deadline") {
  Pair pair;
  const request::Verify large{.model = std::string(60'000, 'x')};
  Kind last = Kind::failed;
  for (int i = 0; i < 1000; ++i) {
    const auto sent = pair.client.send(large, deadline_in(10ms));
    if (sent) continue;
    last = sent.error().kind;
    break;
  }
  CHECK(last == Kind::timed_out);
}

TEST_CASE("client: a request that no frame can hold is not sent") {
  Pair pair;
  const auto sent = pair.client.send(request::Verify{.model = std::string(max_frame_bytes, 'x')}, soon());
  REQUIRE_FALSE(sent.has_value());
  CHECK(sent.error().kind == Kind::failed);
  pollfd polled{.fd = pair.daemon_end, .events = POLLIN, .revents = 0};
  CHECK(poll(&polled, 1, 0) == 0);
}

TEST_CASE("client: an answer is told from the events around it") {
  const FakeDaemon daemon([](Peer& peer) {
    peer.send(ready_event(1));
    const auto request = peer.read_request();
    if (!request) return;
    peer.send(ready_event(2));
    peer.answer("somebody else's", answer::Ping{.version = "9", .pid = 9});
    peer.answer(request->id, answer::Ping{.version = "1.2.3", .protocol = 1, .pid = 42, .uptime_s = 7});
    peer.send(ready_event(3));
    peer.wait_for_end();
  });
  Client client = connected(daemon);
  std::vector<std::uint64_t> seen;
  const auto ping = client.ask<answer::Ping>(request::Ping{}, soon(),
                                             [&](const StatusEvent& event) { seen.push_back(event.seq); });
  REQUIRE(ping.has_value());
  CHECK(*ping == answer::Ping{.version = "1.2.3", .protocol = 1, .pid = 42, .uptime_s = 7});
  CHECK(seen == std::vector<std::uint64_t>{1, 2});
  const auto next = client.read_frame(soon());
  REQUIRE(event_of(next));
  CHECK(event_of(next)->seq == 3);
}

TEST_CASE("client: each request has an id of its own, and a late answer is nobody's") {
  const FakeDaemon daemon([](Peer& peer) {
    const auto first = peer.read_request();
    const auto second = peer.read_request();
    if (!first || !second || first->id == second->id) return;
    peer.answer(first->id, answer::Ping{.version = "late", .pid = 1});
    peer.answer(second->id, answer::Ping{.version = "in time", .pid = 1});
    peer.wait_for_end();
  });
  Client client = connected(daemon);
  const auto late = client.ask<answer::Ping>(request::Ping{}, deadline_in(20ms));
  REQUIRE_FALSE(late.has_value());
  CHECK(late.error().kind == Kind::timed_out);
  const auto ping = client.ask<answer::Ping>(request::Ping{}, soon());
  REQUIRE(ping.has_value());
  CHECK(ping->version == "in time");
}

TEST_CASE("client: a refusal is the daemon's error") {
  const FakeDaemon daemon([](Peer& peer) {
    const auto request = peer.read_request();
    if (request) peer.refuse(request->id, ErrorCode::unknown_model, "there is no model x");
    peer.wait_for_end();
  });
  Client client = connected(daemon);
  const auto answer = client.ask<answer::Status>(request::Status{.model = "x"}, soon());
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error() == ClientError{Kind::refused, {ErrorCode::unknown_model, "there is no model x"}});
}

TEST_CASE("client: an answer of another shape is garbage") {
  const FakeDaemon daemon([](Peer& peer) {
    const auto request = peer.read_request();
    if (request) peer.send(R"({"id":")" + request->id + R"(","type":"response","models":"none"})" + "\n");
    peer.wait_for_end();
  });
  Client client = connected(daemon);
  const auto answer = client.ask<answer::Status>(request::Status{}, soon());
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().kind == Kind::garbage);
}

TEST_CASE("client: events without end do not keep a deadline from passing") {
  const FakeDaemon daemon([](Peer& peer) {
    std::uint64_t seq = 0;
    while (peer.send(ready_event(++seq))) {
    }
  });
  Client client = connected(daemon);
  const auto answer = client.ask<answer::Ping>(request::Ping{}, deadline_in(50ms));
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().kind == Kind::timed_out);
}

TEST_CASE("client: a wait ends when a descriptor that wakes it has something") {
  Pair pair;
  int ends[2] = {-1, -1};
  REQUIRE(pipe(ends) == 0);
  pair.client.wake_on(ends[0], POLLIN);
  REQUIRE(write(ends[1], "x", 1) == 1);
  const auto woken = pair.client.read_frame(soon());
  REQUIRE_FALSE(woken.has_value());
  CHECK(woken.error().kind == Kind::woken);

  pair.client.stop_waking();
  pair.say(encoded(ready_event(1)));
  CHECK(event_of(pair.client.read_frame(soon())));
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("client: a reader that goes wakes without any event asked for") {
  Pair pair;
  int ends[2] = {-1, -1};
  REQUIRE(pipe(ends) == 0);
  pair.client.wake_on(ends[1], 0);
  const auto late = pair.client.read_frame(deadline_in(10ms));
  REQUIRE_FALSE(late.has_value());
  CHECK(late.error().kind == Kind::timed_out);
  close(ends[0]);
  const auto woken = pair.client.read_frame(soon());
  REQUIRE_FALSE(woken.has_value());
  CHECK(woken.error().kind == Kind::woken);
  close(ends[1]);
}

TEST_CASE("client: connecting says whether nobody is there") {
  const FakeDaemon daemon([](Peer&) {});
  const auto missing = Client::connect(daemon.folder() + "/other.sock", soon());
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().kind == Kind::no_daemon);
  CHECK(missing.error().error.message.find("/other.sock") != std::string::npos);

  const auto below_a_file = Client::connect(daemon.socket() + "/admin.sock", soon());
  REQUIRE_FALSE(below_a_file.has_value());
  CHECK(below_a_file.error().kind == Kind::no_daemon);
}

TEST_CASE("client: a path that the kernel does not take is said with its length and the limit") {
  const auto client = Client::connect("/tmp/" + std::string(103, 'x'), soon());
  REQUIRE_FALSE(client.has_value());
  CHECK(client.error().kind == Kind::failed);
  CHECK(client.error().error.message.find("108 bytes") != std::string::npos);
  CHECK(client.error().error.message.find("1 to 107") != std::string::npos);
  CHECK_FALSE(Client::connect("", soon()).has_value());
}

TEST_CASE("client: connecting to a daemon that does not accept ends at the deadline") {
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  char folder[] = "/tmp/ggufd-test-XXXXXX";
  REQUIRE(mkdtemp(folder));
  const std::string path = std::string(folder) + "/full.sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  REQUIRE(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(listen(listener, 0) == 0);
  std::vector<Client> queued;
  std::optional<ClientError> error;
  while (!error && queued.size() < 8) {
    auto client = Client::connect(path, deadline_in(30ms));
    if (client) {
      queued.push_back(std::move(*client));
    } else {
      error = client.error();
    }
  }
  CHECK((error && error->kind == Kind::timed_out));
  close(listener);
  unlink(path.c_str());
  rmdir(folder);
}

TEST_CASE("client: a moved client keeps what has come") {
  Pair pair;
  pair.say(encoded(ready_event(1)) + encoded(ready_event(2)));
  REQUIRE(pair.client.read_frame(soon()).has_value());
  Client moved = std::move(pair.client);
  const auto frame = moved.read_frame(soon());
  REQUIRE(event_of(frame));
  CHECK(event_of(frame)->seq == 2);
}

}  // namespace ggufd
