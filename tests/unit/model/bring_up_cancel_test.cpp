// A bring-up that is cancelled or destroyed at every moment: from each of its callbacks, and after each turn
// of the loop, until it would have ended by itself.
#include "store/model_lock.h"
#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;

enum class Way { in_place, by_download };

// One bring-up in a house of its own; a server that stands by.
struct Trial {
  House house;
  HttpServer server{[](auto& exchange) { exchange.send(answer(small_gguf())); }};
  Recorded load{house};

  void start(Way way) {
    config::ModelConfig model =
        way == Way::in_place ? in_place(house.file(small_gguf())) : from_url(server.url("/m"), small_gguf());
    model.engine = config::EngineChoice::automatic;  // one callback more
    load.start(model);
  }
  // One turn; the bring-up always has something under way, so that this returns.
  void turn() { uv_run(house.loop.raw(), UV_RUN_ONCE); }
  void check_nothing_is_left() {
    CHECK(house.sockets().empty());
    const auto lock = store::ModelLock::try_lock(house.store().root(), "m");
    REQUIRE(lock);
    CHECK(lock->has_value());
    CHECK(house.store().open_partial(digest_of(small_gguf())).has_value());
  }
  void check_cancelled() {
    CHECK(load.ends == 1);
    CHECK(load.error() == ErrorCode::cancelled);
    load.bring_up->cancel();
    load.bring_up.reset();
    house.loop.run();
    CHECK(load.ends == 1);
    check_nothing_is_left();
  }
  void check_dropped() {
    CHECK(load.ends == 0);
    check_nothing_is_left();
  }
};

TEST_CASE("a bring-up that is cancelled by any of its callbacks ends soon, as cancelled") {
  for (const Way way : {Way::in_place, Way::by_download}) {
    int moments = 0;
    for (bool has_ended_first = false; !has_ended_first; ++moments) {
      REQUIRE(moments < 100);
      CAPTURE(moments);
      Trial trial;
      bool has_cancelled = false;
      bool was_inside = false;
      trial.load.at_call = [&] {
        // The first call comes while the bring-up is being made: its owner does not have it yet.
        if (trial.load.bring_up == nullptr || trial.load.calls <= moments || has_cancelled) return;
        has_cancelled = true;
        trial.load.bring_up->cancel();
        was_inside = trial.load.ends > 0;
      };
      trial.start(way);
      trial.load.wait();
      has_ended_first = !has_cancelled;
      CHECK_FALSE(was_inside);
      if (has_cancelled) trial.check_cancelled();
      if (has_ended_first) CHECK(trial.load.is_good());
    }
    CHECK(moments > 5);
  }
}

TEST_CASE("a bring-up that is cancelled after any turn ends as cancelled") {
  for (const Way way : {Way::in_place, Way::by_download}) {
    int turns = 0;
    for (bool has_ended_first = false; !has_ended_first; ++turns) {
      REQUIRE(turns < 1'000);
      CAPTURE(turns);
      Trial trial;
      trial.start(way);
      for (int i = 0; i < turns && trial.load.ends == 0; ++i) trial.turn();
      has_ended_first = trial.load.ends > 0;
      if (has_ended_first) break;
      trial.load.bring_up->cancel();
      CHECK(trial.load.ends == 0);
      trial.load.wait();
      trial.check_cancelled();
    }
    CHECK(turns > 3);
  }
}

TEST_CASE("a bring-up may be destroyed after any turn, and leaves nothing behind") {
  for (const Way way : {Way::in_place, Way::by_download}) {
    for (const bool after_cancel : {false, true}) {
      int turns = 0;
      for (bool has_ended_first = false; !has_ended_first; ++turns) {
        REQUIRE(turns < 1'000);
        CAPTURE(turns);
        Trial trial;
        trial.start(way);
        for (int i = 0; i < turns && trial.load.ends == 0; ++i) trial.turn();
        has_ended_first = trial.load.ends > 0;
        if (has_ended_first) break;
        if (after_cancel) trial.load.bring_up->cancel();
        trial.load.bring_up.reset();
        trial.house.loop.run();
        trial.check_dropped();
      }
      CHECK(turns > 3);
    }
  }
}

TEST_CASE("a bring-up may be destroyed by its end") {
  for (const bool cancels : {false, true}) {
    Trial trial;
    trial.load.at_done = [&] {
      trial.load.end.reset();
      trial.load.bring_up.reset();
    };
    trial.start(Way::by_download);
    if (cancels) trial.load.bring_up->cancel();
    trial.house.loop.run();
    CHECK(trial.load.ends == 1);
    trial.check_nothing_is_left();
  }
}

TEST_CASE("cancelling when a download begins ends it, though its server never answers") {
  House house;
  HttpServer server([](auto& exchange) { exchange.wait_for_close(); });
  Recorded load(house);
  load.at_call = [&] {
    if (kind_of(load.phases.back()) == PhaseKind::download) load.bring_up->cancel();
  };
  load.run(from_url(server.url("/m"), small_gguf()));
  CHECK(load.error() == ErrorCode::cancelled);
}

TEST_CASE("cancelling when a long step begins ends it at once, not with the step") {
  House house;
  // Several slices to hash, and none of them on the disk.
  const std::string path = house.file("x");
  std::filesystem::resize_file(path, 512U << 20U);
  Recorded load(house);
  load.at_call = [&] {
    if (kind_of(load.phases.back()) == PhaseKind::verify) load.bring_up->cancel();
  };
  load.run(in_place(path));
  CHECK(load.error() == ErrorCode::cancelled);
  CHECK(load.all<phase::Verify>().size() == 1);
}

}  // namespace
}  // namespace ggufd::model
