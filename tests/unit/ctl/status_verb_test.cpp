#include <filesystem>
#include <fstream>

#include "tests/unit/ctl/support.h"

namespace ggufd::ctl {

using namespace test;

TEST_CASE("status verb: prints a table, or the answer as it came") {
  const std::string answer =
      R"({"id":"c1","type":"response", "models":[], "seq":0,"subscribers":1,"new":{"x":1}})";
  const FakeDaemon daemon([&](Peer& peer) {
    peer.send(event(1, ready()));
    if (peer.read_request()) peer.send(answer + "\n");
    peer.wait_for_end();
  });
  CHECK(run_ctl(daemon, {"status", "--json"}).out == answer + "\n");
  const Outcome table = run_ctl(daemon, {"status"});
  CHECK(table.code == done);
  CHECK(table.out == "no model is configured\n");
}

TEST_CASE("status verb: an answer that comes byte by byte is one answer") {
  const FakeDaemon daemon([](Peer& peer) {
    const auto request = peer.read_request();
    if (!request) return;
    fmt::memory_buffer out;
    encode_answer(request->id, status_of({model_status("m", ModelState::ready)}), out);
    for (const char byte : out) peer.send(std::string_view(&byte, 1));
    peer.wait_for_end();
  });
  const Outcome outcome = run_ctl(daemon, {"status"});
  CHECK(outcome.code == done);
  CHECK(contains(outcome.out, "m      ready"));
}

TEST_CASE("status verb: the daemon's refusal is printed, with --json as it came too") {
  const FakeDaemon daemon([](Peer& peer) {
    const auto request = peer.read_request();
    if (request) peer.refuse(request->id, ErrorCode::unknown_model, "there is no model x; there is m");
    peer.wait_for_end();
  });
  const Outcome outcome = run_ctl(daemon, {"status", "x"});
  CHECK(outcome.code == failed);
  CHECK(outcome.out == "");
  CHECK(outcome.err == "ggufctl: there is no model x; there is m\n");
  CHECK(contains(run_ctl(daemon, {"status", "x", "--json"}).out, R"("code":"unknown_model")"));
}

TEST_CASE("status verb: a daemon that hangs is given up on") {
  const FakeDaemon daemon([](Peer& peer) { peer.wait_for_end(); });
  const Outcome outcome = run_ctl(daemon, {"status"}, {.answer_timeout = std::chrono::milliseconds(30)});
  CHECK(outcome.code == failed);
  CHECK(outcome.err == "ggufctl: the daemon at " + daemon.socket() + " has not answered in time\n");
}

TEST_CASE("status verb: a daemon that closes is told") {
  const FakeDaemon daemon([](Peer& peer) { peer.read_request(); });
  const Outcome outcome = run_ctl(daemon, {"status"});
  CHECK(outcome.code == failed);
  CHECK(contains(outcome.err, "has ended the connection"));
}

TEST_CASE("status verb: something else that listens there is told from a daemon") {
  const FakeDaemon daemon([](Peer& peer) {
    if (peer.read_line()) peer.send("HTTP/1.1 400 Bad Request\r\n\r\n");
    peer.wait_for_end();
  });
  const Outcome outcome = run_ctl(daemon, {"status"}, {.answer_timeout = std::chrono::milliseconds(200)});
  CHECK(outcome.code == failed);
  CHECK(contains(outcome.err, "does not speak the protocol of ggufd"));
}

TEST_CASE("status verb: a daemon of another protocol is named with both versions") {
  const FakeDaemon daemon([](Peer& peer) {
    while (const auto request = peer.read_request()) {
      if (verb_of(*request) == Verb::ping) {
        peer.answer(request->id, answer::Ping{.version = "9.0", .protocol = 2, .pid = 1, .uptime_s = 1});
      } else {
        peer.send(R"({"id":")" + request->id + R"(","type":"response","bring_ups":{}})" + "\n");
      }
    }
  });
  const Outcome outcome = run_ctl(daemon, {"status"});
  CHECK(outcome.code == failed);
  CHECK(contains(outcome.err, "is ggufd 9.0, which speaks protocol 2; this ggufctl speaks 1"));
}

TEST_CASE("health verb: prints the document; the code is the default model's") {
  auto status = status_of({model_status("m", ModelState::ready), model_status("n", ModelState::error)});
  {
    const FakeDaemon daemon(answering(status));
    const Outcome outcome = run_ctl(daemon, {"health"});
    CHECK(outcome.code == done);
    CHECK(outcome.out.starts_with(R"({"status":"ok","model":"m",)"));
    CHECK(contains(outcome.out, R"("models":[{"status":"ok","model":"m",)"));
  }
  status.default_model = "n";
  const FakeDaemon daemon(answering(status));
  const Outcome outcome = run_ctl(daemon, {"health"});
  CHECK(outcome.code == failed);
  CHECK(outcome.out.starts_with(R"({"status":"unhealthy","model":"n",)"));
  CHECK(outcome.err == "");
}

TEST_CASE("status verb: where a service has its sockets elsewhere, that is said") {
  const Outcome nowhere = run_ctl({"status", "--socket", "/nowhere/admin.sock"});
  CHECK(nowhere.code == no_daemon);
  CHECK(contains(nowhere.err, "start one with: ggufd"));
  const Outcome elsewhere =
      run_ctl({"status", "--socket", "/nowhere/admin.sock"}, {.variables = {}, .service_folder = "/proc"});
  CHECK(elsewhere.code == no_daemon);
  CHECK(contains(elsewhere.err,
                 "the service's is in /proc: name it with --runtime-dir /proc or GGUFD_RUNTIME_DIR"));
}

TEST_CASE("status verb: the service is asked where nobody has named a place and none is at the user's own") {
  const FakeDaemon daemon(answering(answer::Status{}));
  const auto ask = [&](Variables variables) {
    return run_ctl({"status"}, {.variables = std::move(variables), .service_folder = daemon.folder().c_str()})
        .code;
  };
  CHECK(ask({{"XDG_RUNTIME_DIR", "/nowhere"}}) == done);
  CHECK(ask({{"GGUFD_RUNTIME_DIR", "/nowhere"}}) == no_daemon);
  const std::string own = daemon.folder() + "-own";
  std::filesystem::create_directories(own + "/ggufd");
  std::ofstream(own + "/ggufd/admin.sock").close();
  CHECK(ask({{"XDG_RUNTIME_DIR", own}}) == no_daemon);
  std::filesystem::remove_all(own);
}

}  // namespace ggufd::ctl
