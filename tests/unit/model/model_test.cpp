// A model's life as the outside sees it: states, statuses in order, waiters, sockets.
#include "model/model.h"

#include <map>

#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;
using Lines = std::vector<std::string>;
using Outcome = Result<ModelState>;

const Lines in_place_story = {"loading_model:checking_local", "loading_model:verify", "loading_model:mmap",
                              "loading_model:kv_cache",       "capabilities",         "ready"};

// Counts what its copies are told.
struct Waiting {
  std::shared_ptr<std::vector<Outcome>> told = std::make_shared<std::vector<Outcome>>();

  Model::Waiter waiter() const {
    return [to = told](Outcome outcome) { to->push_back(std::move(outcome)); };
  }
  bool is_told() const { return !told->empty(); }
  bool is(ModelState state) const { return told->size() == 1 && told->front() == state; }
  bool is(ErrorCode code) const {
    return told->size() == 1 && !told->front() && told->front().error().code == code;
  }
};

struct Alone {
  House house;
  HttpServer server{[](auto& exchange) { exchange.wait_for_close(); }};  // never answers
  std::unique_ptr<Model> model;

  explicit Alone(bool is_default = true) { make(in_place(house.file(small_gguf())), is_default); }
  void make(const config::ModelConfig& config, bool is_default = true) {
    model = std::make_unique<Model>(house.services, config, is_default);
  }
  void make_endless() { make(from_url(server.url("/m"), small_gguf())); }
  void wait_for(const Waiting& waiting) {
    REQUIRE(run_until(house.loop, [&] { return waiting.is_told(); }));
  }
  void load() {
    const Waiting loaded;
    model->load(loaded.waiter());
    wait_for(loaded);
    REQUIRE(loaded.is(ModelState::ready));
  }
  void until_downloading() {
    REQUIRE(run_until(house.loop, [this] { return server.requests() == 1; }));
  }
};

TEST_CASE("a model is loaded and unloaded, and tells every step in order") {
  Alone alone;
  Model& model = *alone.model;
  CHECK(model.state() == ModelState::uninitialized);
  Waiting loaded;
  model.load(loaded.waiter());
  CHECK(model.state() == ModelState::loading);
  CHECK_FALSE(loaded.is_told());
  alone.wait_for(loaded);
  CHECK(loaded.is(ModelState::ready));
  CHECK(alone.house.log.story() == in_place_story);
  Waiting unloaded;
  model.unload(UnloadReason::request, unloaded.waiter());
  CHECK(model.state() == ModelState::unloading);
  alone.wait_for(unloaded);
  CHECK(unloaded.is(ModelState::uninitialized));
  Lines all = in_place_story;
  all.insert(all.end(), {"unloading", "unloaded"});
  CHECK(alone.house.log.story() == all);
  CHECK(std::get<status::Unloaded>(alone.house.log.events.back().status).reason == UnloadReason::request);
  for (const auto& event : alone.house.log.events) CHECK(event.model == "m");
}

TEST_CASE("the public sockets are there when ready is told, and gone when unloading is") {
  for (const bool is_default : {false, true}) {
    Alone alone(is_default);
    std::map<StatusKind, Lines> seen;
    alone.house.log.at_event = [&](const Status& status) { seen[kind_of(status)] = alone.house.sockets(); };
    alone.load();
    Waiting unloaded;
    alone.model->unload(UnloadReason::request, unloaded.waiter());
    alone.wait_for(unloaded);
    Lines expected = {".m.sock", "infer.m.sock"};
    if (is_default) expected.push_back("infer.sock");
    CHECK(seen[StatusKind::ready] == expected);
    CHECK(seen[StatusKind::unloading] == Lines{".m.sock"});
    CHECK(seen[StatusKind::unloaded] == Lines{});
    const auto& ready =
        std::get<status::Ready>(alone.house.log.events[alone.house.log.events.size() - 3].status);
    CHECK(ready.infer_socket == alone.house.runtime + (is_default ? "/infer.sock" : "/infer.m.sock"));
  }
}

TEST_CASE("loading a model that is ready is done at once, and unloading one that is not loaded") {
  Alone alone;
  Waiting nothing;
  alone.model->unload(UnloadReason::request, nothing.waiter());
  CHECK(nothing.is(ModelState::uninitialized));
  CHECK(alone.house.log.events.empty());
  alone.load();
  const std::size_t events = alone.house.log.events.size();
  Waiting again;
  alone.model->load(again.waiter());
  CHECK(again.is(ModelState::ready));
  CHECK(alone.house.log.events.size() == events);
}

TEST_CASE("loads at a time are one load, and every waiter gets its outcome") {
  Alone alone;
  std::array<Waiting, 3> waiting;
  for (const Waiting& each : waiting) alone.model->load(each.waiter());
  for (const Waiting& each : waiting) alone.wait_for(each);
  for (const Waiting& each : waiting) CHECK(each.is(ModelState::ready));
  CHECK(alone.model->status().load_count == 1);
  CHECK(alone.house.log.story() == in_place_story);
}

TEST_CASE("unloading during a load cancels it") {
  for (const UnloadReason reason : {UnloadReason::request, UnloadReason::shutdown}) {
    Alone alone;
    alone.make_endless();
    Waiting loaded;
    alone.model->load(loaded.waiter());
    alone.until_downloading();
    std::array<Waiting, 2> unloaded;
    alone.model->unload(reason, unloaded[0].waiter());
    CHECK(loaded.is(ErrorCode::cancelled));
    alone.model->unload(reason, unloaded[1].waiter());
    Waiting busy;
    alone.model->load(busy.waiter());
    CHECK(busy.is(ErrorCode::busy));
    for (const Waiting& each : unloaded) alone.wait_for(each);
    for (const Waiting& each : unloaded) CHECK(each.is(ModelState::uninitialized));
    CHECK(alone.house.log.story() ==
          Lines{"loading_model:checking_local", "loading_model:download", "unloading", "unloaded"});
    const UnloadReason told = reason == UnloadReason::request ? UnloadReason::cancelled : reason;
    CHECK(std::get<status::Unloaded>(alone.house.log.events.back().status).reason == told);
    CHECK(alone.house.sockets().empty());
  }
}

TEST_CASE("a load can be cancelled in any turn, and the model loaded again") {
  int turns = 0;
  for (bool has_ended_first = false; !has_ended_first; ++turns) {
    REQUIRE(turns < 1'000);
    CAPTURE(turns);
    Alone alone;
    Waiting loaded;
    alone.model->load(loaded.waiter());
    for (int i = 0; i < turns && !loaded.is_told(); ++i) uv_run(alone.house.loop.raw(), UV_RUN_ONCE);
    has_ended_first = loaded.is_told();
    Waiting unloaded;
    alone.model->unload(UnloadReason::request, unloaded.waiter());
    alone.wait_for(unloaded);
    CHECK(unloaded.is(ModelState::uninitialized));
    CHECK(loaded.told->size() == 1);
    CHECK((has_ended_first ? loaded.is(ModelState::ready) : loaded.is(ErrorCode::cancelled)));
    CHECK(alone.house.sockets().empty());
    CHECK(alone.house.log.story().back() == "unloaded");
    alone.load();
  }
  CHECK(turns > 3);
}

TEST_CASE("while a model is unloaded a load is busy; then it is loaded again") {
  Alone alone;
  alone.load();
  Waiting unloaded;
  alone.model->unload(UnloadReason::request, unloaded.waiter());
  Waiting busy;
  alone.model->load(busy.waiter());
  CHECK(busy.is(ErrorCode::busy));
  Waiting also;
  alone.model->unload(UnloadReason::request, also.waiter());
  alone.wait_for(unloaded);
  CHECK(also.is(ModelState::uninitialized));
  alone.load();
  CHECK(alone.model->status().load_count == 2);
}

TEST_CASE("a load that fails is the state error, until it is loaded or unloaded") {
  Alone alone;
  const std::string path = alone.house.file("no GGUF");
  Waiting failed;
  alone.model->load(failed.waiter());
  alone.wait_for(failed);
  CHECK(failed.is(ErrorCode::invalid_gguf));
  CHECK(alone.model->state() == ModelState::error);
  CHECK(alone.house.log.story() == Lines{"loading_model:checking_local", "loading_model:verify",
                                         "loading_model:mmap", "error:invalid_gguf"});
  CHECK(std::get<status::Failed>(alone.house.log.events.back().status).phase == PhaseKind::mmap);
  CHECK(alone.model->status().availability.code == 500);
  CHECK(alone.model->status().health == Health::unhealthy);
  SUBCASE("loaded again, with what was wrong put right") {
    alone.house.file(small_gguf());
    alone.load();
    CHECK(alone.model->status().availability.code == 200);
    CHECK(alone.model->status().health == Health::ok);
  }
  SUBCASE("unloaded") {
    Waiting unloaded;
    alone.model->unload(UnloadReason::request, unloaded.waiter());
    CHECK(unloaded.is(ModelState::uninitialized));
    CHECK(alone.model->state() == ModelState::uninitialized);
    CHECK(alone.house.log.story().back() == "unloaded");
    CHECK(alone.model->status().availability.code == 0);
  }
}

TEST_CASE("a waiter may ask for the next thing when it is told") {
  Alone alone;
  alone.house.file("no GGUF");
  Waiting last;
  alone.model->load([&](const Outcome& first) {
    CHECK_FALSE(first);
    alone.house.file(small_gguf());
    alone.model->load([&](const Outcome& second) {
      CHECK(second == ModelState::ready);
      alone.model->unload(UnloadReason::request, last.waiter());
    });
  });
  alone.wait_for(last);
  CHECK(last.is(ModelState::uninitialized));
  CHECK(alone.model->status().load_count == 1);
}

TEST_CASE("public sockets that cannot be made are an error, and the engine goes") {
  Alone alone;
  std::filesystem::create_directory(alone.house.runtime + "/infer.sock");
  Waiting failed;
  alone.model->load(failed.waiter());
  alone.wait_for(failed);
  CHECK(failed.is(ErrorCode::io));
  CHECK(alone.model->state() == ModelState::error);
  CHECK(alone.house.sockets() == Lines{"infer.sock"});
  CHECK(alone.house.log.story().back() == "error:io");
}

TEST_CASE("the status says what is known of the model") {
  Alone alone;
  answer::ModelStatus status = alone.model->status();
  CHECK(status.state == ModelState::uninitialized);
  CHECK_FALSE(status.status);
  CHECK(status.load_count == 0);
  alone.load();
  status = alone.model->status();
  const std::string bytes = small_gguf();
  CHECK(status.name == "m");
  CHECK(status.state == ModelState::ready);
  CHECK(status.status == StatusKind::ready);
  CHECK_FALSE(status.phase);
  CHECK(status.bytes == bytes.size());
  CHECK(status.sha256 == digest_of(bytes).to_hex());
  CHECK(status.memory.mapped == bytes.size());
  CHECK(status.memory.kv > 0);
  CHECK(status.load_ms.has_value());
  CHECK(status.engine.backend == Backend::resident);
  Waiting unloaded;
  alone.model->unload(UnloadReason::request, unloaded.waiter());
  CHECK(alone.model->status().memory.mapped == 0);
  alone.wait_for(unloaded);
  CHECK(alone.model->status().status == StatusKind::unloaded);
}

TEST_CASE("while it loads, the phase is part of the status") {
  Alone alone;
  alone.make_endless();
  alone.model->load(Waiting().waiter());
  alone.until_downloading();
  CHECK(alone.model->status().phase == PhaseKind::download);
  CHECK(alone.model->status().availability.code == 10);
}

TEST_CASE("a warning leaves the model's status as it is, and shows while it is ready") {
  Alone alone;
  config::ModelConfig config = alone.model->config();
  config.engine = config::EngineChoice::automatic;
  alone.make(config);
  alone.load();
  CHECK(alone.model->status().status == StatusKind::ready);
  CHECK(alone.model->status().availability.code == 300);
  CHECK(std::ranges::count(alone.house.log.story(), "warning:engine_resident") == 1);
}

TEST_CASE("a model may go in any state; its loop closes") {
  Alone alone;
  SUBCASE("loading") {
    alone.make_endless();
    alone.model->load(Waiting().waiter());
    alone.until_downloading();
  }
  SUBCASE("ready") {
    alone.load();
  }
  SUBCASE("unloading") {
    alone.load();
    alone.model->unload(UnloadReason::request, Waiting().waiter());
  }
  SUBCASE("being cancelled") {
    alone.make_endless();
    alone.model->load(Waiting().waiter());
    alone.until_downloading();
    alone.model->unload(UnloadReason::request, Waiting().waiter());
  }
  const std::size_t events = alone.house.log.events.size();
  alone.model.reset();
  alone.house.loop.run();
  CHECK(alone.house.log.events.size() == events);
  CHECK(alone.house.sockets().empty());
}

}  // namespace
}  // namespace ggufd::model
