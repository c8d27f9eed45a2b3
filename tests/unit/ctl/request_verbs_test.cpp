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
        "m ready in 1.5 s: download 200 ms\n"
        "m: ready\n");
}

namespace {

// Says how things are before it is asked, and then does what is asked.
FakeDaemon::Script going_on_from(std::vector<StatusEvent> snapshot, AnswerBody body,
                                 std::vector<StatusEvent> news) {
  return [=](Peer& peer) {
    auto status = one_model;
    for (const StatusEvent& e : snapshot) {
      peer.send(e);
      status.seq = e.seq;
    }
    answering(status, [&](Peer& same, const Request& request) {
      for (const StatusEvent& e : news) same.send(e);
      same.answer(request.id, body);
      same.wait_for_end();
    })(peer);
  };
}

}  // namespace

TEST_CASE("requests: how things were before is no news") {
  const FakeDaemon failed_before(going_on_from({event(7, failure("of the last try"))},
                                               answer::State{.state = ModelState::ready},
                                               {event(8, download(500)), event(9, ready())}));
  CHECK(run_ctl(failed_before, {"load", "m"}).out ==
        "m: download 50%, 500/1000 B, 2.0 KiB/s, 0:07 left, from https://example.org/m.gguf\n"
        "m: ready: loaded in 1.5 s\n"
        "m ready in 1.5 s: download 100 ms\n"
        "m: ready\n");
  const FakeDaemon ready_before(
      going_on_from({event(3, status::Capabilities{}), event(4, ready())},
                    answer::State{.state = ModelState::uninitialized},
                    {event(5, status::Unloading{.reason = UnloadReason::request})}));
  CHECK(run_ctl(ready_before, {"unload", "m"}).out == "m: unloading: request\nm: uninitialized\n");
  const FakeDaemon started(going_on_from({event(1, status::Starting{"1", 1}, {})},
                                         answer::State{.state = ModelState::uninitialized}, {}));
  CHECK(run_ctl(started, {"cancel", "m"}).out == "m: uninitialized\n");
}

TEST_CASE("requests: a load that had begun before took longer than was seen") {
  const FakeDaemon daemon(going_on_from({event(7, download(100))}, answer::State{.state = ModelState::ready},
                                        {event(8, download(500)), event(9, ready())}));
  const Outcome outcome = run_ctl(daemon, {"load", "m"});
  CHECK(outcome.out.starts_with("m: download 10%"));
  CHECK(contains(outcome.out, "m ready in 1.5 s: download over 200 ms\n"));
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

TEST_CASE("requests: --no-wait says what is under way, not where it leads to") {
  const auto said = [](ModelState before, ModelState leads_to, const char* verb) {
    const FakeDaemon daemon(
        answering(status_of({model_status("m", before)}), [leads_to](Peer& peer, const Request& request) {
          peer.answer(request.id, answer::State{.state = leads_to});
          peer.wait_for_end();
        }));
    const Outcome outcome = run_ctl(daemon, {verb, "m", "--no-wait"});
    CHECK(outcome.code == done);
    return outcome.out;
  };
  CHECK(said(ModelState::uninitialized, ModelState::ready, "load") == "m: loading\n");
  CHECK(said(ModelState::ready, ModelState::ready, "load") == "m: ready\n");
  CHECK(said(ModelState::ready, ModelState::uninitialized, "unload") == "m: unloading\n");
  CHECK(said(ModelState::uninitialized, ModelState::uninitialized, "unload") == "m: uninitialized\n");
  CHECK(said(ModelState::loading, ModelState::uninitialized, "cancel") == "m: cancelling\n");
  CHECK(said(ModelState::uninitialized, ModelState::ready, "reload") == "m: reloading\n");
}

TEST_CASE("verify verb: why the default model is not told") {
  const FakeDaemon daemon([](Peer& peer) {
    const auto request = peer.read_request();
    if (request) peer.refuse(request->id, ErrorCode::bad_field, "the answer is too long");
    peer.wait_for_end();
  });
  const Outcome outcome = run_ctl(daemon, {"verify"});
  CHECK(outcome.code == failed);
  CHECK(outcome.err == "ggufctl: the answer is too long\n");
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
  const FakeDaemon daemon(answering(one_model, [](Peer& peer, const Request& request) {
    if (verb_of(request) != Verb::drain) return;
    peer.answer(request.id, answer::Done{});
    peer.send(event(1, status::Draining{}, {}));
    peer.send(event(2, status::Unloaded{.reason = UnloadReason::shutdown}));
  }));
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
  const FakeDaemon daemon(answering(one_model, [](Peer&, const Request&) {}));
  CHECK(run_ctl(daemon, {"drain"}).code == failed);
}

}  // namespace ggufd::ctl
