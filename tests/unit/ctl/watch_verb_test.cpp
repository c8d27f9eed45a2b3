#include "tests/unit/ctl/support.h"

namespace ggufd::ctl {

using namespace test;

namespace {

// Sends `bytes` in two pieces, and ends.
FakeDaemon::Script sending(std::string bytes, std::size_t split) {
  return [bytes = std::move(bytes), split](Peer& peer) {
    peer.send(std::string_view(bytes).substr(0, split));
    peer.send(std::string_view(bytes).substr(split));
  };
}
FakeDaemon::Script sending(const std::string& bytes) {
  return sending(bytes, 0);
}

const std::string unknown_line = R"({"id":"admin","type":"status","status":"dreaming","of":"sheep"})";

}  // namespace

TEST_CASE("watch verb: a line an event where there is no terminal, to the end") {
  const FakeDaemon daemon(sending(encoded(event(1, download(500))) + unknown_line + "\n" +
                                  encoded(event(2, ready())) + encoded(event(3, status::Draining{}, {}))));
  const Outcome outcome = run_ctl(daemon, {"watch"});
  CHECK(outcome.code == done);
  CHECK(outcome.out ==
        "m: download 50%, 500/1000 B, 2.0 KiB/s, 0:07 left, from https://example.org/m.gguf\n"
        "m: ready: loaded in 1.5 s\n"
        "m ready in 1.5 s: download over 100 ms\n"
        "ggufd: draining\n");
  CHECK(outcome.err == "");
}

TEST_CASE("watch verb: the same wherever the bytes are split") {
  const std::string bytes = encoded(event(1, ready())) + encoded(event(2, status::Draining{}, {}));
  for (std::size_t split = 0; split <= bytes.size(); ++split) {
    CAPTURE(split);
    const FakeDaemon daemon(sending(bytes, split));
    CHECK(run_ctl(daemon, {"watch"}).out == "m: ready: loaded in 1.5 s\nggufd: draining\n");
  }
}

TEST_CASE("watch verb: --json gives every frame as it came, those of a later daemon too") {
  const std::string spaced =
      R"({ "id":"admin","type":"status","status":"ready","load_ms":1,"model":"m","extra":null})";
  const std::string draining = encoded(event(3, status::Draining{}, {}));
  const FakeDaemon daemon(sending(spaced + "\n" + unknown_line + "\n" + draining));
  const Outcome outcome = run_ctl(daemon, {"watch", "--json"});
  CHECK(outcome.code == done);
  CHECK(outcome.out == spaced + "\n" + unknown_line + "\n" + draining);
}

TEST_CASE("watch verb: a model's own frames and the daemon's") {
  const std::string a = encoded(event(1, ready(), "a"));
  const std::string b = encoded(event(2, ready(), "b"));
  const std::string draining = encoded(event(3, status::Draining{}, {}));
  const FakeDaemon daemon([&](Peer& peer) {
    const auto request = peer.read_request();
    if (!request) return;
    peer.answer(request->id, status_of({model_status("a", ModelState::ready)}));
    peer.send(a + b + draining);
  });
  CHECK(run_ctl(daemon, {"watch", "a", "--json"}).out == a + draining);
  CHECK(run_ctl(daemon, {"watch", "a"}).out == "a: ready: loaded in 1.5 s\nggufd: draining\n");
}

TEST_CASE("watch verb: a model that is not there is told") {
  const FakeDaemon daemon([](Peer& peer) {
    const auto request = peer.read_request();
    if (request) peer.refuse(request->id, ErrorCode::unknown_model, "there is no model x");
    peer.wait_for_end();
  });
  const Outcome outcome = run_ctl(daemon, {"watch", "x"});
  CHECK(outcome.code == failed);
  CHECK(outcome.err == "ggufctl: there is no model x\n");
}

TEST_CASE("watch verb: a daemon that vanishes is told, waited for, and no daemon is there any more") {
  std::string socket;
  const FakeDaemon daemon([&](Peer& peer) {
    peer.send(event(1, ready()));
    unlink(socket.c_str());
  });
  socket = daemon.socket();
  const Outcome outcome = run_ctl(daemon, {"watch"}, {.reconnect_patience = std::chrono::milliseconds(300)});
  CHECK(outcome.code == no_daemon);
  CHECK(contains(outcome.err, socket + " has gone without a word; waiting for it"));
  CHECK(contains(outcome.err, socket + " is gone; it has not come back within 300 ms"));
}

namespace {

// Answers the pings in between.
std::optional<Request> next_request(Peer& peer, std::int64_t pid) {
  while (auto request = peer.read_request()) {
    if (verb_of(*request) != ggufd::Verb::ping) return request;
    peer.answer(request->id, answer::Ping{.version = "1", .pid = pid});
  }
  return std::nullopt;
}

// Connections of one daemon: the first ends without a word, the second resumes. Or of two, where the second
// has another process.
FakeDaemon::Script ending_once(std::int64_t second_pid, std::optional<Request>& resumption) {
  return [&resumption, second_pid, is_first = std::make_shared<bool>(true)](Peer& peer) {
    if (std::exchange(*is_first, false)) {
      peer.send(event(3, status::Starting{.version = "1", .pid = 7}, {}));
      peer.send(event(7, download(100)));
      const auto ping = peer.read_request();
      if (ping) peer.answer(ping->id, answer::Ping{.version = "1", .pid = 7});
      return;
    }
    peer.send(event(8, download(200)));  // the snapshot
    if (second_pid == 7) {
      resumption = next_request(peer, second_pid);
      if (!resumption) return;
      peer.answer(resumption->id, answer::Subscribe{.seq = 9});
      peer.send(event(8, download(1000)));
    } else {
      const auto ping = peer.read_request();
      if (ping) peer.answer(ping->id, answer::Ping{.version = "1", .pid = second_pid});
    }
    peer.send(event(9, ready()));
    peer.send(event(10, status::Draining{}, {}));
  };
}

}  // namespace

TEST_CASE("watch verb: the same daemon goes on behind the last event, and none is shown twice") {
  std::optional<Request> resumption;
  const FakeDaemon daemon(ending_once(7, resumption));
  const Outcome outcome = run_ctl(daemon, {"watch", "--json"});
  CHECK(outcome.code == done);
  REQUIRE(resumption);
  const auto* subscribe = std::get_if<request::Subscribe>(&resumption->body);
  REQUIRE(subscribe);
  CHECK(subscribe->since == 7);
  CHECK(outcome.out == encoded(event(3, status::Starting{.version = "1", .pid = 7}, {})) +
                           encoded(event(7, download(100))) + encoded(event(8, download(1000))) +
                           encoded(event(9, ready())) + encoded(event(10, status::Draining{}, {})));
  CHECK(contains(outcome.err, "the daemon is back"));
}

TEST_CASE("watch verb: another daemon's snapshot counts") {
  std::optional<Request> none;
  const FakeDaemon daemon(ending_once(8, none));
  const Outcome outcome = run_ctl(daemon, {"watch"});
  CHECK(outcome.code == done);
  CHECK(contains(outcome.out, "m: download 20%"));
  CHECK(contains(outcome.out, "m ready in 1.5 s: download over 100 ms\n"));
  CHECK(contains(outcome.err, "another daemon is there"));
}

TEST_CASE("watch verb: garbage ends it") {
  const FakeDaemon daemon(sending(encoded(event(1, ready())) + "\x01\xFF\n"));
  const Outcome outcome = run_ctl(daemon, {"watch"}, {.answer_timeout = std::chrono::milliseconds(200)});
  CHECK(outcome.code == failed);
  CHECK(contains(outcome.err, "does not speak the protocol of ggufd"));
}

TEST_CASE("watch verb: what a model says can't steer the terminal") {
  const FakeDaemon daemon(sending(encoded(event(1, failure("\x1b]0;owned\x07\x1b[2J"))) +
                                  encoded(event(2, status::Draining{}, {}))));
  CHECK_FALSE(contains(run_ctl(daemon, {"watch"}).out, "\x1b"));
}

}  // namespace ggufd::ctl
