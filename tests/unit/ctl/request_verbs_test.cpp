#include "tests/unit/ctl/support.h"

namespace ggufd::ctl {

using namespace test;

namespace {

const answer::Status one_model = status_of({model_status("m", ModelState::uninitialized)});

// Answers the request after `status` with `body`, after events.
FakeDaemon::Script concluding(AnswerBody body, std::vector<StatusEvent> events = {}) {
  return answering(one_model, [=](Peer& peer, const Request& request) {
    for (const StatusEvent& e : events) peer.send(e);
    peer.answer(request.id, body);
    peer.wait_for_end();
  });
}

// Says in an error which request it was.
FakeDaemon::Script echoing() {
  return answering(one_model, [](Peer& peer, const Request& request) {
    std::string line = encoded(request);
    line.pop_back();
    peer.refuse(request.id, ErrorCode::busy, line.substr(line.find("\"type\"")));
    peer.wait_for_end();
  });
}

}  // namespace

TEST_CASE("requests: what is sent for each verb") {
  const FakeDaemon daemon(echoing());
  const auto sent = [&](const std::vector<const char*>& arguments) {
    const Outcome outcome = run_ctl(daemon, arguments);
    CHECK(outcome.code == failed);
    return outcome.err;
  };
  CHECK(sent({"load"}) == "ggufctl: \"type\":\"load\",\"wait\":true}\n");
  CHECK(sent({"load", "m", "--no-wait"}) == "ggufctl: \"type\":\"load\",\"model\":\"m\",\"wait\":false}\n");
  CHECK(sent({"unload", "m"}) == "ggufctl: \"type\":\"unload\",\"model\":\"m\",\"wait\":true}\n");
  CHECK(sent({"reload"}) == "ggufctl: \"type\":\"reload\",\"wait\":true}\n");
  CHECK(sent({"cancel", "m"}) == "ggufctl: \"type\":\"cancel\",\"model\":\"m\",\"wait\":true}\n");
  CHECK(sent({"pull", "m"}) == "ggufctl: \"type\":\"pull\",\"model\":\"m\",\"wait\":true}\n");
  CHECK(sent({"pull", "--source", "/x", "--name", "n", "--sha256", "ab", "--no-wait"}) ==
        "ggufctl: \"type\":\"pull\",\"source\":\"/x\",\"sha256\":\"ab\",\"name\":\"n\",\"wait\":false}\n");
  CHECK(sent({"verify"}) == "ggufctl: \"type\":\"verify\",\"model\":\"m\"}\n");
  CHECK(sent({"drain"}) == "ggufctl: \"type\":\"drain\"}\n");
}

TEST_CASE("load verb: shows the model's progress and its outcome") {
  const FakeDaemon daemon(
      concluding(answer::State{.state = ModelState::ready},
                 {event(1, download(500)), event(2, download(1), "other"), event(3, ready())}));
  const Outcome outcome = run_ctl(daemon, {"load"});
  CHECK(outcome.code == done);
  CHECK(outcome.out ==
        "m: download 50%, 500/1000 B, 2.0 KiB/s, 0:07 left, from https://example.org/m.gguf\n"
        "m: ready: loaded in 1.5 s\n"
        "m ready in 1.5 s: download over 200 ms\n"
        "m: ready\n");
}

TEST_CASE("load verb: --json prints the answer and nothing else") {
  const FakeDaemon daemon(concluding(answer::State{.state = ModelState::ready}, {event(1, download(500))}));
  CHECK(run_ctl(daemon, {"load", "m", "--json"}).out == R"({"id":"c1","type":"response","state":"ready"})"
                                                        "\n");
}

TEST_CASE("load verb: --no-wait is content with where it leads, waiting is not") {
  const FakeDaemon daemon(concluding(answer::State{.state = ModelState::loading}, {event(1, download(500))}));
  const Outcome at_once = run_ctl(daemon, {"load", "m", "--no-wait"});
  CHECK(at_once.code == done);
  CHECK(at_once.out == "m: loading\n");
  CHECK(run_ctl(daemon, {"load", "m"}).code == failed);
}

TEST_CASE("requests: a verb that the daemon does not know is refused in its own words") {
  const FakeDaemon daemon(answering(one_model, [](Peer& peer, const Request& request) {
    peer.refuse(request.id, ErrorCode::unknown_type, "\"cancel\" is not a request");
    const auto ping = peer.read_request();
    if (ping) peer.answer(ping->id, answer::Ping{.version = "1", .pid = 1});
    peer.wait_for_end();
  }));
  const Outcome outcome = run_ctl(daemon, {"cancel"});
  CHECK(outcome.code == failed);
  CHECK(outcome.err == "ggufctl: \"cancel\" is not a request\n");
}

TEST_CASE("load verb: a daemon that vanishes meanwhile is a failure") {
  const FakeDaemon daemon(
      answering(one_model, [](Peer& peer, const Request&) { peer.send(event(1, download(5))); }));
  const Outcome outcome = run_ctl(daemon, {"load"});
  CHECK(outcome.code == failed);
  CHECK(contains(outcome.err, "has ended the connection"));
}

TEST_CASE("unload, cancel and reload verbs: the state they have led to") {
  const FakeDaemon daemon(concluding(answer::State{.state = ModelState::uninitialized}));
  CHECK(run_ctl(daemon, {"unload"}).out == "m: uninitialized\n");
  CHECK(run_ctl(daemon, {"cancel"}).code == done);
  CHECK(run_ctl(daemon, {"reload"}).out == "reload: uninitialized\n");
  const FakeDaemon broken(concluding(answer::State{.state = ModelState::error}));
  CHECK(run_ctl(broken, {"unload"}).code == failed);
  CHECK(run_ctl(broken, {"reload"}).code == failed);
}

TEST_CASE("pull and verify verbs: the file that they end with") {
  const FakeDaemon daemon(concluding(answer::Blob{.sha256 = "abcd", .bytes = 2048, .path = "/store/data"},
                                     {event(1, download(1000))}));
  const Outcome pull = run_ctl(daemon, {"pull", "m"});
  CHECK(pull.code == done);
  CHECK(contains(pull.out, "m: download 100%"));
  CHECK(contains(pull.out, "\nm: 2.0 KiB, SHA-256 abcd, /store/data\n"));
  const Outcome verify = run_ctl(daemon, {"verify", "m"});
  CHECK(contains(verify.out, "m: 2.0 KiB, SHA-256 abcd, /store/data\nm verified in "));
  const FakeDaemon at_once(concluding(answer::Done{}));
  CHECK(run_ctl(at_once, {"pull", "m", "--no-wait"}).out == "m: pulling\n");
}

TEST_CASE("verify verb: --no-wait ends once the daemon has read the request") {
  const FakeDaemon daemon(answering(one_model, [](Peer& peer, const Request& verify) {
    const auto ping = peer.read_request();
    if (!ping || verb_of(verify) != Verb::verify || verb_of(*ping) != Verb::ping) return;
    peer.answer(ping->id, answer::Ping{.version = "1", .pid = 1});
    peer.wait_for_end();
  }));
  const Outcome outcome = run_ctl(daemon, {"verify", "--no-wait"});
  CHECK(outcome.code == done);
  CHECK(outcome.out == "m: verifying\n");
}

TEST_CASE("verify verb: --no-wait tells a refusal") {
  const FakeDaemon daemon(echoing());
  CHECK(run_ctl(daemon, {"verify", "m", "--no-wait"}).code == failed);
}

TEST_CASE("drain verb: waits until the daemon is gone") {
  const FakeDaemon daemon([](Peer& peer) {
    const auto request = peer.read_request();
    if (!request || verb_of(*request) != Verb::drain) return;
    peer.answer(request->id, answer::Done{});
    peer.send(event(1, status::Draining{}, {}));
    peer.send(event(2, status::Unloaded{.reason = UnloadReason::shutdown}));
  });
  const Outcome outcome = run_ctl(daemon, {"drain"});
  CHECK(outcome.code == done);
  CHECK(outcome.out == "ggufd: draining\nm: unloaded: shutdown\nggufd: stopped\n");
}

TEST_CASE("drain verb: --no-wait ends with the daemon's word") {
  const FakeDaemon daemon([](Peer& peer) {
    const auto request = peer.read_request();
    if (request) peer.answer(request->id, answer::Done{});
    peer.wait_for_end();
  });
  CHECK(run_ctl(daemon, {"drain", "--no-wait"}).code == done);
}

TEST_CASE("drain verb: an end without a word is no success") {
  const FakeDaemon daemon([](Peer& peer) { peer.read_request(); });
  CHECK(run_ctl(daemon, {"drain"}).code == failed);
}

}  // namespace ggufd::ctl
