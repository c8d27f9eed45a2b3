// The requests about models and the daemon, asked on the socket.
#include "requests_support.h"

namespace ggufd::admin {
namespace {

using namespace test;

TEST_CASE("ping") {
  Daemon daemon;
  const Frame frame = frame_of(daemon.ask("ping"));
  const auto ping = decode_answer<answer::Ping>(std::get<AnswerFrame>(frame));
  CHECK(ping->version == GGUFD_VERSION);
  CHECK(ping->protocol == 1);
  CHECK(ping->pid == getpid());
}

TEST_CASE("status: every model in the configuration's order, or the one that is named") {
  Daemon daemon;
  const auto ask = [&daemon](std::string_view fields) {
    const Frame frame = frame_of(daemon.ask("status", fields));
    auto status = decode_answer<answer::Status>(std::get<AnswerFrame>(frame));
    REQUIRE(status.has_value());
    return std::move(*status);
  };
  daemon.log.publish(status::Starting{"1", 1});
  const auto all = ask("");
  REQUIRE(all.models.size() == 3);
  CHECK(all.models[0].name == "a");
  CHECK(all.models[1].name == "b");
  CHECK(all.models[2].name == "gone");
  CHECK(all.default_model == "b");
  CHECK(all.subscribers == 1);
  CHECK(all.seq == 1);
  CHECK(daemon.state_answered("load", ",\"model\":\"a\",\"wait\":true") == ModelState::ready);
  const auto one = ask(",\"model\":\"a\"");
  REQUIRE(one.models.size() == 1);
  CHECK(one.models[0].state == ModelState::ready);
  CHECK(one.models[0].status == StatusKind::ready);
  CHECK(one.models[0].load_count == 1);
  CHECK(one.models[0].memory.mapped > 0);
  CHECK(one.seq == daemon.log.seq());
  CHECK(error_of(daemon.ask("status", ",\"model\":\"x\"")) == ErrorCode::unknown_model);
}

TEST_CASE("load with `wait` is answered behind the event that it waits for") {
  Daemon daemon;
  const std::string line = daemon.ask("load", ",\"wait\":true");
  CHECK(Daemon::state_in(line) == ModelState::ready);
  const auto lines = daemon.peer->lines();
  REQUIRE(lines.size() > 2);
  CHECK(lines.back() == line);
  const auto before = event_of(lines[lines.size() - 2]);
  CHECK(kind_of(before->status) == StatusKind::ready);
  CHECK(before->model == "b");                                                  // the default model
  CHECK(daemon.state_answered("load", ",\"wait\":true") == ModelState::ready);  // is ready already
  CHECK(daemon.statuses_of("b") == Kinds{StatusKind::capabilities, StatusKind::ready});
}

TEST_CASE("load without `wait` is answered at once with the state it leads to") {
  Daemon daemon;
  CHECK(daemon.state_answered("load") == ModelState::ready);
  CHECK(daemon.statuses_of("b").empty());
  CHECK(daemon.state_answered("load", ",\"wait\":true") == ModelState::ready);  // the same load
  CHECK(daemon.statuses_of("b") == Kinds{StatusKind::capabilities, StatusKind::ready});
}

TEST_CASE("a load that fails tells all who wait, and may be asked for again") {
  Daemon daemon;
  daemon.peer->ask("x", "load", ",\"model\":\"gone\",\"wait\":true");
  daemon.peer->ask("y", "load", ",\"model\":\"gone\",\"wait\":true");
  const auto code = error_of(daemon.answer_to("x"));
  CHECK(code.has_value());
  CHECK(error_of(daemon.answer_to("y")) == code);
  CHECK(daemon.statuses_of("gone") == Kinds{StatusKind::error});
  CHECK(error_of(daemon.ask("load", ",\"model\":\"gone\",\"wait\":true")) == code);
  CHECK(daemon.state_answered("cancel", ",\"model\":\"gone\"") == ModelState::error);  // nothing to cancel
  CHECK(daemon.state_answered("unload", ",\"model\":\"gone\",\"wait\":true") == ModelState::uninitialized);
}

TEST_CASE("unload, with and without waiting") {
  Daemon daemon;
  CHECK(daemon.state_answered("unload", ",\"wait\":true") == ModelState::uninitialized);
  CHECK(daemon.statuses_of("b").empty());
  daemon.ask("load", ",\"wait\":true");
  CHECK(daemon.state_answered("unload") == ModelState::uninitialized);
  CHECK(daemon.state_answered("unload", ",\"wait\":true") == ModelState::uninitialized);
  CHECK(daemon.statuses_of("b") ==
        Kinds{StatusKind::capabilities, StatusKind::ready, StatusKind::unloading, StatusKind::unloaded});
}

TEST_CASE("load while it is being unloaded is busy") {
  Daemon daemon;
  daemon.ask("load", ",\"wait\":true");
  daemon.peer->send(
      "{\"id\":\"u\",\"type\":\"unload\"}\n"
      "{\"id\":\"l\",\"type\":\"load\"}\n"
      "{\"id\":\"w\",\"type\":\"load\",\"wait\":true}\n");
  CHECK(error_of(daemon.answer_to("l")) == ErrorCode::busy);
  CHECK(error_of(daemon.answer_to("w")) == ErrorCode::busy);
}

TEST_CASE("cancel ends a load, and its waiters are told") {
  Daemon daemon;
  daemon.peer->send(
      "{\"id\":\"l\",\"type\":\"load\",\"wait\":true}\n"
      "{\"id\":\"c\",\"type\":\"cancel\"}\n"
      "{\"id\":\"w\",\"type\":\"cancel\",\"wait\":true}\n"
      "{\"id\":\"n\",\"type\":\"cancel\"}\n");
  CHECK(error_of(daemon.answer_to("l")) == ErrorCode::cancelled);
  CHECK(Daemon::state_in(daemon.answer_to("c")) == ModelState::uninitialized);
  // Asked for while it is being cancelled: where that leads to, and when.
  CHECK(Daemon::state_in(daemon.answer_to("n")) == ModelState::uninitialized);
  CHECK(Daemon::state_in(daemon.answer_to("w")) == ModelState::uninitialized);
  CHECK(daemon.statuses_of("b") == Kinds{StatusKind::unloading, StatusKind::unloaded});
  CHECK(daemon.peer->bytes().find("\"reason\":\"cancelled\"") != std::string::npos);
}

TEST_CASE("cancel leaves alone what is not loading") {
  Daemon daemon;
  CHECK(daemon.state_answered("cancel", ",\"wait\":true") == ModelState::uninitialized);
  daemon.ask("load", ",\"wait\":true");
  CHECK(daemon.state_answered("cancel", ",\"wait\":true") == ModelState::ready);
  CHECK(daemon.statuses_of("b") == Kinds{StatusKind::capabilities, StatusKind::ready});
}

TEST_CASE("a model that is not configured is unknown") {
  Daemon daemon;
  for (const char* verb : {"load", "unload", "cancel"}) {
    CAPTURE(verb);
    CHECK(error_of(daemon.ask(verb, ",\"model\":\"x\"")) == ErrorCode::unknown_model);
    CHECK(error_of(daemon.ask(verb, ",\"model\":\"x\",\"wait\":true")) == ErrorCode::unknown_model);
  }
}

TEST_CASE("without any model there is no default one") {
  Daemon daemon(false);
  for (const char* verb : {"load", "unload", "cancel"}) {
    CHECK(error_of(daemon.ask(verb)) == ErrorCode::unknown_model);
  }
  const Frame frame = frame_of(daemon.ask("status"));
  CHECK(decode_answer<answer::Status>(std::get<AnswerFrame>(frame))->models.empty());
}

TEST_CASE("drain is answered before `draining`, and nothing is loaded any more") {
  Daemon daemon;
  daemon.peer->send(
      "{\"id\":\"d\",\"type\":\"drain\"}\n"
      "{\"id\":\"l\",\"type\":\"load\"}\n"
      "{\"id\":\"w\",\"type\":\"load\",\"wait\":true}\n");
  CHECK_FALSE(error_of(daemon.answer_to("d")).has_value());
  CHECK(error_of(daemon.answer_to("l")) == ErrorCode::busy);
  CHECK(error_of(daemon.answer_to("w")) == ErrorCode::busy);
  CHECK(daemon.drains == 1);
  const auto lines = daemon.peer->lines();
  REQUIRE(lines.size() == 4);
  CHECK(id_of(lines[0]) == "d");
  CHECK(kind_of(event_of(lines[1])->status) == StatusKind::draining);
  CHECK(daemon.models.default_model()->state() == ModelState::uninitialized);
}

TEST_CASE("while the daemon stops, nothing is begun") {
  Daemon daemon;
  daemon.ask("drain");
  CHECK(error_of(daemon.ask("reload")) == ErrorCode::busy);
  CHECK(error_of(daemon.ask("verify", ",\"model\":\"a\"")) == ErrorCode::busy);
  CHECK(error_of(daemon.ask("pull", ",\"source\":\"https://h/m\",\"name\":\"n\"")) == ErrorCode::busy);
  CHECK(daemon.reloads.empty());
}

TEST_CASE("a client that is gone before its load is done does not end it") {
  Daemon daemon;
  {
    Peer other(daemon.folder.file("admin.sock"));
    other.ask("1", "load", ",\"wait\":true");
  }
  CHECK(daemon.state_answered("load", ",\"wait\":true") == ModelState::ready);
  CHECK(daemon.server.subscribers() == 1);
}

}  // namespace
}  // namespace ggufd::admin
