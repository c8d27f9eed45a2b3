// subscribe and unsubscribe: from where events are told, which, and to whom.
#include "admin/server.h"
#include "support.h"

namespace ggufd::admin {
namespace {

using namespace test;

// A reader of a house that has told some events.
struct Scene {
  explicit Scene(std::size_t warnings = 0) {
    house.log.publish("b", status::Ready{});
    for (std::size_t i = 0; i < warnings; ++i) house.log.publish("b", warning());
    peer = house.watch();
  }
  // What comes from now on, up to and with a warning that says "end": ids of answers, and seqs of events. A
  // frame without a seq is told by its status.
  std::vector<std::string> story() {
    house.log.publish("end", warning("end"));
    REQUIRE(house.until([&] {
      peer->receive();
      return peer->bytes().find("\"end\"}\n") != std::string::npos ||
             peer->bytes().find("\"message\":\"end\"") != std::string::npos;
    }));
    std::vector<std::string> story;
    for (const std::string& line : peer->lines()) {
      const auto event = event_of(line);
      if (!event) {
        story.push_back(id_of(line));
      } else if (event->seq == 0) {
        story.emplace_back(name_of(kind_of(event->status)));
      } else if (event->status != warning("end")) {
        story.push_back(std::to_string(event->seq));
      }
    }
    peer->forget();
    return story;
  }
  // The seq that the answer with the id "s" gave.
  std::uint64_t answered_seq(const std::string& line) {
    const Frame frame = frame_of(line);
    const auto answer = decode_answer<answer::Subscribe>(std::get<AnswerFrame>(frame));
    REQUIRE(answer.has_value());
    return answer->seq;
  }

  House house;
  std::unique_ptr<Peer> peer;
};

using Story = std::vector<std::string>;

TEST_CASE("without `since` there is the answer, no second snapshot, and live events") {
  Scene scene(3);
  scene.peer->ask("s", "subscribe");
  CHECK(scene.house.lines(*scene.peer, 1));
  CHECK(scene.answered_seq(scene.peer->lines()[0]) == 4);
  scene.house.log.publish("b", warning());
  CHECK(scene.story() == Story{"s", "5"});
}

TEST_CASE("with `since` the events after it come again, behind the answer") {
  Scene scene(3);
  SUBCASE("some") {
    scene.peer->ask("s", "subscribe", ",\"since\":2");
    scene.house.turns();
    CHECK(scene.story() == Story{"s", "3", "4"});
  }
  SUBCASE("all") {
    scene.peer->ask("s", "subscribe", ",\"since\":0");
    scene.house.turns();
    CHECK(scene.story() == Story{"s", "1", "2", "3", "4"});
  }
  SUBCASE("none") {
    scene.peer->ask("s", "subscribe", ",\"since\":4");
    scene.house.turns();
    CHECK(scene.story() == Story{"s"});
  }
  SUBCASE("and what is asked before and after keeps its place") {
    scene.peer->send(
        "{\"id\":\"p\",\"type\":\"ping\"}\n"
        "{\"id\":\"s\",\"type\":\"subscribe\",\"since\":2}\n"
        "{\"id\":\"q\",\"type\":\"ping\"}\n");
    scene.house.turns();
    CHECK(scene.story() == Story{"p", "s", "3", "4", "q"});
  }
}

TEST_CASE("a `since` of another daemon's life is too far") {
  Scene scene(3);
  SUBCASE("by one") {
    scene.peer->ask("s", "subscribe", ",\"since\":5");
  }
  SUBCASE("by far") {
    scene.peer->ask("s", "subscribe", ",\"since\":18446744073709551615");
  }
  scene.house.turns();
  CHECK(scene.story() == Story{"s", "lagged", "1"});
}

TEST_CASE("a `since` that memory does not hold any more: `lagged` and the current state") {
  Scene scene(StatusLog::kept_events);  // 4,097 events
  SUBCASE("the last that reaches") {
    scene.peer->ask("s", "subscribe", ",\"since\":1");
    CHECK(scene.house.lines(*scene.peer, 1 + StatusLog::kept_events));
    const auto story = scene.story();
    REQUIRE(story.size() == 1 + StatusLog::kept_events);
    CHECK(story[0] == "s");
    for (std::size_t i = 1; i < story.size(); ++i) CHECK(story[i] == std::to_string(i + 1));
  }
  SUBCASE("one more") {
    scene.peer->ask("s", "subscribe", ",\"since\":0");
    scene.house.turns();
    scene.peer->receive();
    CHECK(scene.peer->lines().at(1) ==
          encoded(StatusEvent{.status = status::Lagged{StatusLog::kept_events + 1}}));
    CHECK(scene.story() == Story{"s", "lagged", "1"});
  }
}

TEST_CASE("who is told old events again has lagged once 1,024 new changes wait behind them") {
  Scene scene(3000);
  scene.peer->ask("s", "subscribe", ",\"since\":1000");
  // Not read: the socket is full before the 2,001 are through.
  REQUIRE(scene.house.until([&] { return scene.house.has_running_timer(); }));
  const auto ends = [&scene] {
    scene.house.turns();
    const auto story = scene.story();
    return std::ranges::count(story, "lagged");
  };
  SUBCASE("1,023 and the one of the end") {
    for (std::size_t i = 1; i < StatusLog::kept_changes; ++i) scene.house.log.publish("b", warning());
    CHECK(ends() == 0);
  }
  SUBCASE("one more") {
    for (std::size_t i = 0; i < StatusLog::kept_changes + 1; ++i) scene.house.log.publish("b", warning());
    scene.house.turns();
    CHECK(scene.house.until([&] {
      scene.peer->receive();
      return scene.peer->bytes().find("\"lagged\"") != std::string::npos;
    }));
  }
}

TEST_CASE("only the models that are named, and what is about the daemon") {
  Scene scene;
  scene.peer->ask("s", "subscribe", ",\"models\":[\"a\",\"end\"]");
  scene.house.turns();
  scene.house.log.publish("a", warning());  // 2
  scene.house.log.publish("b", warning());
  scene.house.log.publish(warning());  // 4
  scene.house.log.publish("c", warning());
  scene.house.log.publish("a", downloading(0));  // 6
  CHECK(scene.story() == Story{"s", "2", "4", "6"});
  // The next subscription says it anew.
  scene.peer->ask("t", "subscribe");
  scene.house.turns();
  scene.house.log.publish("b", warning());
  CHECK(scene.story() == Story{"t", "8"});
}

TEST_CASE("without progress: the phases and the changes") {
  Scene scene;
  scene.peer->ask("s", "subscribe", ",\"progress\":false,\"since\":0");
  scene.house.turns();
  scene.house.log.publish("a", downloading(0));  // 2
  scene.house.log.publish("a", downloading(1));
  scene.house.log.publish("a", downloading(2));
  scene.house.log.publish("a", mapping(0));  // 5
  scene.house.log.publish("a", mapping(1));
  scene.house.log.publish("a", status::Ready{});  // 7
  CHECK(scene.story() == Story{"s", "1", "2", "5", "7"});
}

TEST_CASE("unsubscribe: no more events, but answers") {
  Scene scene;
  scene.peer->ask("u", "unsubscribe");
  scene.house.turns();
  CHECK(scene.house.server->subscribers() == 0);
  scene.house.log.publish("b", warning());
  scene.house.turns();
  scene.peer->ask("p", "ping");
  CHECK(scene.house.lines(*scene.peer, 2));
  scene.peer->ask("s", "subscribe");
  scene.house.turns();
  CHECK(scene.house.server->subscribers() == 1);
  scene.house.log.publish("b", warning());
  CHECK(scene.story() == Story{"u", "p", "s", "3"});
}

TEST_CASE("unsubscribed, what it does not get is no lag") {
  Scene scene;
  scene.peer->ask("u", "unsubscribe");
  scene.house.turns();
  for (std::size_t i = 0; i < 2 * StatusLog::kept_events; ++i) scene.house.log.publish("b", warning());
  scene.house.turns();
  scene.peer->ask("s", "subscribe");
  scene.house.turns();
  CHECK(scene.story() == Story{"u", "s"});
}

TEST_CASE("what was published while it was unsubscribed is not made up for, however slowly it reads") {
  Scene scene;
  scene.house.fill();
  scene.peer->ask("u", "unsubscribe");
  scene.house.turns();
  const std::uint64_t before = scene.house.log.seq();
  scene.house.log.publish("b", warning());
  scene.peer->ask("s", "subscribe");
  scene.house.turns();
  scene.house.log.publish("b", warning());
  const auto story = scene.story();
  CHECK(std::ranges::count(story, std::to_string(before + 1)) == 0);
  CHECK(Story(story.end() - 3, story.end()) == Story{"u", "s", std::to_string(before + 2)});
}

TEST_CASE("subscribers are those that get events") {
  House house;
  auto first = house.connect();
  auto second = house.connect();
  CHECK(house.server->subscribers() == 2);
  first->ask("1", "unsubscribe");
  house.turns();
  CHECK(house.server->subscribers() == 1);
  first->ask("2", "subscribe");
  house.turns();
  CHECK(house.server->subscribers() == 2);
}

TEST_CASE("a wish for a model that there is not is refused, and changes nothing") {
  House house;
  auto peer = house.watch();
  peer->ask("1", "subscribe", ",\"models\":[\"a\",\"unknown\"]");
  CHECK(house.lines(*peer, 1));
  CHECK(error_of(peer->lines()[0]) == ErrorCode::unknown_model);
  CHECK(id_of(peer->lines()[0]) == "1");
  house.log.publish("b", warning());
  CHECK(house.lines(*peer, 2));
}

TEST_CASE("who wants some models is told only of those, also where it has lagged") {
  House house;
  house.log.publish("a", status::Ready{});
  house.log.publish("b", status::Ready{});
  auto peer = house.watch();
  peer->ask("1", "subscribe", ",\"models\":[\"a\"],\"since\":99");
  CHECK(house.lines(*peer, 3));
  const auto lines = peer->lines();
  CHECK(kind_of(event_of(lines[1])->status) == StatusKind::lagged);
  CHECK(event_of(lines[2])->model == "a");
  house.log.publish("a", warning("next"));
  CHECK(house.lines(*peer, 4));
  CHECK(event_of(peer->lines()[3])->status == warning("next"));
}

}  // namespace
}  // namespace ggufd::admin
