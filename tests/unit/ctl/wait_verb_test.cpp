#include "tests/unit/ctl/support.h"

namespace ggufd::ctl {

using namespace test;

namespace {

// Answers `status` with one model that loads, then does `rest`.
FakeDaemon::Script loading(std::function<void(Peer&)> rest) {
  return [rest](Peer& peer) {
    peer.send(event(1, download(1)));
    const auto request = peer.read_request();
    if (!request) return;
    peer.answer(request->id, status_of({model_status("m", ModelState::loading)}, 1));
    rest(peer);
  };
}

}  // namespace

TEST_CASE("wait verb: 0 and not a word once the model is ready") {
  const FakeDaemon daemon(loading([](Peer& peer) {
    peer.send(event(2, ready(), "other"));
    peer.send(event(3, download(1000)));
    peer.send(event(4, ready()));
    peer.wait_for_end();
  }));
  for (const auto& arguments : {std::vector<const char*>{"wait"}, std::vector<const char*>{"wait", "m"}}) {
    const Outcome outcome = run_ctl(daemon, arguments);
    CHECK(outcome.code == done);
    CHECK(outcome.out + outcome.err == "");
  }
}

TEST_CASE("wait verb: a model that is ready already is not waited for") {
  const FakeDaemon daemon(answering(status_of({model_status("m", ModelState::ready)})));
  CHECK(run_ctl(daemon, {"wait"}).code == done);
  CHECK(run_ctl(daemon, {"wait", "--timeout", "0"}).code == done);
}

TEST_CASE("wait verb: a daemon that only sends events will do where the model is named") {
  const FakeDaemon daemon([](Peer& peer) {
    peer.send(event(1, ready()));
    peer.wait_for_end();
  });
  CHECK(run_ctl(daemon, {"wait", "m"}).code == done);
}

TEST_CASE("wait verb: 1 and the reason where the model fails") {
  const FakeDaemon daemon(loading([](Peer& peer) {
    peer.send(event(2, failure("no route to example.org")));
    peer.wait_for_end();
  }));
  const Outcome outcome = run_ctl(daemon, {"wait"});
  CHECK(outcome.code == failed);
  CHECK(outcome.err == "ggufctl: no route to example.org\n");
}

TEST_CASE("wait verb: 1 when the time is over, whatever else happens") {
  const FakeDaemon silent(loading([](Peer& peer) { peer.wait_for_end(); }));
  const Outcome outcome = run_ctl(silent, {"wait", "--timeout", "0.05"});
  CHECK(outcome.code == failed);
  CHECK(outcome.err == "ggufctl: m is not ready after 0.05 s\n");
  const FakeDaemon busy(loading([](Peer& peer) {
    std::uint64_t seq = 2;
    while (peer.send(event(seq++, download(5)))) {
    }
  }));
  CHECK(run_ctl(busy, {"wait", "--timeout", "0.05"}).code == failed);
}

TEST_CASE("wait verb: the end of the connection is a failure, as is a stop") {
  const FakeDaemon vanishing(loading([](Peer&) {}));
  CHECK(run_ctl(vanishing, {"wait"}).code == failed);
  const FakeDaemon stopping(loading([](Peer& peer) {
    peer.send(event(2, status::Draining{}, {}));
    peer.wait_for_end();
  }));
  const Outcome outcome = run_ctl(stopping, {"wait"});
  CHECK(outcome.code == failed);
  CHECK(outcome.err == "ggufctl: the daemon is stopping\n");
}

TEST_CASE("wait verb: it says nothing, and so needs nobody to listen") {
  signal(SIGPIPE, SIG_IGN);
  const FakeDaemon daemon(loading([](Peer& peer) {
    peer.send(event(2, download(1000)));
    peer.send(event(3, ready()));
    peer.wait_for_end();
  }));
  const std::string socket = daemon.socket();
  const Capture err;
  int ends[2] = {-1, -1};
  REQUIRE(pipe(ends) == 0);
  close(ends[0]);
  const std::vector<const char*> arguments{"wait", "--socket", socket.c_str()};
  CHECK(run(arguments, {.environment = environment_of({}), .out = ends[1], .err = err.descriptor()}) == done);
  close(ends[1]);
}

TEST_CASE("wait verb: a daemon that hangs is given up on") {
  const FakeDaemon daemon([](Peer& peer) { peer.wait_for_end(); });
  const Outcome outcome = run_ctl(daemon, {"wait"}, {.answer_timeout = std::chrono::milliseconds(30)});
  CHECK(outcome.code == failed);
  CHECK(contains(outcome.err, "has not answered in time"));
}

TEST_CASE("wait verb: a model that is not there is a failure") {
  const FakeDaemon daemon([](Peer& peer) {
    const auto request = peer.read_request();
    if (request) peer.refuse(request->id, ErrorCode::unknown_model, "there is no model x");
    peer.wait_for_end();
  });
  const Outcome outcome = run_ctl(daemon, {"wait", "x"});
  CHECK(outcome.code == failed);
  CHECK(outcome.err == "ggufctl: there is no model x\n");
}

}  // namespace ggufd::ctl
