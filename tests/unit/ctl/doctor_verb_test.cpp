#include "protocol/client.h"
#include "tests/unit/ctl/support.h"

namespace ggufd::ctl {

using namespace test;

namespace {

// A daemon that says who it is, and has nothing to report.
FakeDaemon::Script of_version(std::string version, std::uint32_t protocol) {
  return [version = std::move(version), protocol](Peer& peer) {
    while (const auto request = peer.read_request()) {
      if (verb_of(*request) == Verb::ping) {
        peer.answer(request->id, answer::Ping{.version = version, .protocol = protocol, .pid = 7});
      } else {
        peer.answer(request->id, answer::Doctor{});
      }
    }
  };
}

Outcome doctor_of(const FakeDaemon& daemon) {
  return run_ctl(daemon, {"doctor", "--json", "--config", "/nowhere/config.json"});
}

}  // namespace

TEST_CASE("doctor verb: a daemon of this version is in order") {
  const FakeDaemon daemon(of_version("1.2.3", protocol_version));
  const Outcome outcome = doctor_of(daemon);
  CHECK(outcome.code == done);
  CHECK(contains(outcome.out, R"("name":"protocol","result":"ok")"));
}

TEST_CASE("doctor verb: another version is a warning") {
  const FakeDaemon daemon(of_version("0.9.0", protocol_version));
  const Outcome outcome = doctor_of(daemon);
  CHECK(outcome.code == done);
  CHECK(contains(outcome.out, R"("name":"protocol","result":"warn")"));
  CHECK(contains(outcome.out, "the daemon is 0.9.0, this ggufctl 1.2.3"));
}

TEST_CASE("doctor verb: another protocol fails") {
  const FakeDaemon daemon(of_version("9.0.0", protocol_version + 1));
  const Outcome outcome = doctor_of(daemon);
  CHECK(outcome.code == failed);
  CHECK(contains(outcome.out, R"("name":"protocol","result":"fail")"));
}

TEST_CASE("doctor verb: where something else answers, that fails, and the rest is looked at here") {
  const FakeDaemon daemon([](Peer& peer) { peer.send("HTTP/1.1 400 Bad Request\n"); });
  const Outcome outcome = doctor_of(daemon);
  CHECK(outcome.code == failed);
  CHECK(contains(outcome.out, R"("group":"reached","name":"answer","result":"fail")"));
  CHECK(contains(outcome.out, R"("group":"store")"));
}

TEST_CASE("doctor verb: a daemon that knows no such request is a warning") {
  const FakeDaemon daemon([](Peer& peer) {
    while (const auto request = peer.read_request()) {
      if (verb_of(*request) == Verb::ping) {
        peer.answer(request->id, answer::Ping{.version = "1.2.3", .protocol = protocol_version, .pid = 7});
      } else {
        peer.send(R"({"id":")" + request->id + R"(","type":"error","code":"unknown_type","message":"no"})" +
                  "\n");
      }
    }
  });
  CHECK(contains(doctor_of(daemon).out, R"("name":"findings","result":"warn")"));
}

}  // namespace ggufd::ctl
