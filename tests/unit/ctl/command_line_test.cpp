#include "ctl/command_line.h"
#include "tests/unit/ctl/support.h"

namespace ggufd::ctl {

using namespace test;

TEST_CASE("ctl: mistakes on the command line are 2 and touch no daemon") {
  const std::vector<std::vector<const char*>> mistakes{{},
                                                       {"bogus"},
                                                       {"status", "--bogus"},
                                                       {"status", "a", "b"},
                                                       {"wait", "--timeout", "-1"},
                                                       {"wait", "--timeout", "soon"},
                                                       {"wait", "--timeout", "nan"},
                                                       {"status", "--socket", "/x", "--runtime-dir", "/y"},
                                                       {"pull"},
                                                       {"pull", "m", "--name", "n"},
                                                       {"pull", "--source", "/x"},
                                                       {"plan", "m", "--kv-unified=false"},
                                                       {"ls", "--json=false"},
                                                       {"load", "m", "--no-wait=0"},
                                                       {"completion"},
                                                       {"completion", "cmd"}};
  for (const auto& arguments : mistakes) {
    CAPTURE(arguments.empty() ? "" : arguments.back());
    const Outcome outcome = run_ctl(arguments);
    CHECK(outcome.code == usage);
    CHECK(outcome.out == "");
    CHECK(outcome.err.starts_with("ggufctl: "));
  }
  CHECK(contains(run_ctl({"bogus"}).err, "there is no verb bogus; the verbs are status watch"));
}

TEST_CASE("ctl: help and version are asked for, not mistakes") {
  CHECK(run_ctl({"--version"}).out == "ggufctl 1.2.3\n");
  const Outcome help = run_ctl({"--help"});
  CHECK(help.code == done);
  for (const char* verb : {"status", "watch", "wait", "health", "load", "unload", "reload", "cancel", "pull",
                           "verify", "drain", "import", "ls", "rm", "gc"}) {
    CHECK(contains(help.out, verb));
    CHECK(run_ctl({verb, "--help"}).code == done);
  }
}

TEST_CASE(
    "ctl: the help says where sockets are looked for and what exit codes mean, each verb's has an example") {
  const Outcome help = run_ctl({"--help"});
  for (const char* part :
       {"3  no daemon is there", "$GGUFD_RUNTIME_DIR", "/tmp/ggufd-<uid>", "The store of models:"})
    CHECK(contains(help.out, part));
  for (const VerbEntry& verb : command_table().verbs()) {
    CAPTURE(verb.name);
    CHECK(verb.example.starts_with(verb.name == "completion" ? "source <(ggufctl completion"
                                                             : "ggufctl " + verb.name));
    const Outcome own = run_ctl({verb.name.c_str(), "--help"});
    CHECK(contains(own.out, "Example"));
    CHECK(contains(own.out, verb.example.substr(0, verb.example.find('\n'))));
    CHECK(contains(own.out, verb.exit_codes.substr(0, verb.exit_codes.find('\n'))));
  }
}

TEST_CASE("ctl: where no daemon is, the code is 3 and the message says where and how to start one") {
  for (const char* verb :
       {"status", "watch", "wait", "health", "load", "unload", "reload", "cancel", "drain"}) {
    const Outcome outcome = run_ctl({verb, "--runtime-dir", "/tmp/ggufd-test-nobody"});
    CHECK(outcome.code == no_daemon);
    CHECK(contains(outcome.err, "/tmp/ggufd-test-nobody/admin.sock"));
    CHECK(contains(outcome.err, "ggufd --runtime-dir /tmp/ggufd-test-nobody"));
  }
}

TEST_CASE("ctl: options may stand before and behind the verb") {
  const FakeDaemon daemon(answering(status_of({model_status("m", ModelState::ready)})));
  const std::string socket = daemon.socket();
  const Outcome before = run_ctl({"--socket", socket.c_str(), "--json", "status"});
  const Outcome behind = run_ctl({"status", "--json", "--socket", socket.c_str()});
  CHECK(before.code == done);
  CHECK(before.out == behind.out);
  CHECK(run_ctl({"status", "--runtime-dir", daemon.folder().c_str()}).code == done);
}

TEST_CASE("ctl: the runtime folder comes from the environment where no option names it") {
  const FakeDaemon daemon(answering(status_of({model_status("m", ModelState::ready)})));
  CHECK(run_ctl({"status"}, {.variables = {{"GGUFD_RUNTIME_DIR", daemon.folder()}}}).code == done);
}

TEST_CASE("ctl: a model may have a verb's name") {
  const FakeDaemon daemon(answering(status_of({model_status("load", ModelState::ready)})));
  const Outcome outcome = run_ctl(daemon, {"status", "load"});
  CHECK(outcome.code == done);
  CHECK(contains(outcome.out, "load   ready"));
}

TEST_CASE("ctl: a full disk is a failure that is told") {
  const FakeDaemon daemon(answering(status_of({model_status("m", ModelState::ready)})));
  const std::string socket = daemon.socket();
  const Capture err;
  FILE* full = fopen("/dev/full", "w");
  REQUIRE(full);
  const std::vector<const char*> arguments{"status", "--socket", socket.c_str()};
  CHECK(run(arguments, {.environment = environment_of({}), .out = fileno(full), .err = err.descriptor()}) ==
        failed);
  CHECK(err.text() == "ggufctl: cannot write: No space left on device\n");
  fclose(full);
}

TEST_CASE("ctl: a reader that has gone ends it without a word") {
  signal(SIGPIPE, SIG_IGN);
  const FakeDaemon daemon([](Peer& peer) {
    peer.send(event(1, ready()));
    peer.wait_for_end();
  });
  const std::string socket = daemon.socket();
  const Capture err;
  int ends[2] = {-1, -1};
  REQUIRE(pipe(ends) == 0);
  close(ends[0]);
  // Also while the daemon has nothing more to say.
  const std::vector<const char*> arguments{"watch", "--socket", socket.c_str()};
  CHECK(run(arguments, {.environment = environment_of({}), .out = ends[1], .err = err.descriptor()}) ==
        failed);
  CHECK(err.text() == "");
  close(ends[1]);
}

}  // namespace ggufd::ctl
