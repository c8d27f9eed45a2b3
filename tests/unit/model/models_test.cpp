// The daemon's models together: found by name, loaded at boot, unloaded all at once.
#include "model/models.h"

#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;

struct Several {
  House house;
  HttpServer server{[](auto& exchange) { exchange.wait_for_close(); }};
  std::unique_ptr<Models> models = make();

  std::unique_ptr<Models> make() {
    config::ModelConfig config = in_place(house.file(small_gguf()));
    auto& configs = house.services.config.models;
    config.name = "at-boot";
    configs.push_back(config);
    config.name = "by-hand";
    config.load = config::Load::manual;
    configs.push_back(config);
    config = in_place(house.file("no GGUF", "bad.gguf"));
    config.name = "bad";
    configs.push_back(config);
    config = from_url(server.url("/m"), small_gguf());
    config.name = "endless";
    configs.push_back(config);
    house.services.config.default_model = "at-boot";
    return std::make_unique<Models>(house.services);
  }
  ModelState state(const std::string& name) const { return models->find(name)->state(); }
};

TEST_CASE("models are found by their names, and the default one by what the configuration says") {
  Several several;
  CHECK(several.models->all().size() == 4);
  CHECK(several.models->find("bad")->name() == "bad");
  CHECK(several.models->find("none") == nullptr);
  CHECK(several.models->default_model() == several.models->find("at-boot"));
}

TEST_CASE("at boot those are loaded that are to be, and all are unloaded together, whatever they do") {
  Several several;
  several.models->load_at_boot();
  CHECK(several.state("by-hand") == ModelState::uninitialized);
  REQUIRE(run_until(several.house.loop, [&] {
    return several.state("at-boot") == ModelState::ready && several.state("bad") == ModelState::error &&
           several.server.requests() == 1;
  }));
  int ends = 0;
  several.models->unload_all([&] {
    ++ends;
    for (const auto& model : several.models->all()) CHECK(model->state() == ModelState::uninitialized);
  });
  CHECK(ends == 0);
  REQUIRE(run_until(several.house.loop, [&] { return ends > 0; }));
  several.house.loop.run();
  CHECK(ends == 1);
  CHECK(several.house.sockets().empty());
  int unloaded = 0;
  for (const auto& event : several.house.log.events) {
    const auto* status = std::get_if<status::Unloaded>(&event.status);
    if (status == nullptr) continue;
    ++unloaded;
    CHECK(status->reason == UnloadReason::shutdown);
  }
  CHECK(unloaded == 3);
}

TEST_CASE("unloading all where nothing is loaded is done at once") {
  Several several;
  int ends = 0;
  several.models->unload_all([&] { ++ends; });
  CHECK(ends == 1);
}

// --- The configuration read again

struct Reloaded {
  House house;
  HttpServer server{[](auto& exchange) { exchange.wait_for_close(); }};
  std::string path = house.file(small_gguf());
  std::unique_ptr<Models> models;

  Reloaded() {
    settle(path);  // the file is hashed once, and is not doubted then
    house.services.config.models = {named("a"), named("b")};
    house.services.config.default_model = "a";
    models = std::make_unique<Models>(house.services);
    models->load_at_boot();
    until([&] { return is_ready("a") && is_ready("b"); });
    house.log.events.clear();
  }
  config::ModelConfig named(const std::string& name) const {
    config::ModelConfig config = in_place(path);
    config.name = name;
    return config;
  }
  config::ModelConfig endless(const std::string& name) const {
    config::ModelConfig config = from_url(server.url("/m"), small_gguf(9));
    config.name = name;
    return config;
  }
  void apply(std::vector<config::ModelConfig> next, const std::string& default_model) {
    const config::Config before = house.services.config;
    house.services.config.models = std::move(next);
    house.services.config.default_model = default_model;
    models->apply(before);
  }
  void until(const std::function<bool()>& reached) { REQUIRE(run_until(house.loop, reached)); }
  bool is_ready(const std::string& name) const {
    const Model* model = models->find(name);
    return model != nullptr && model->state() == ModelState::ready;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& model : models->all()) names.push_back(model->name());
    return names;
  }
  std::vector<std::string> shown() const {
    std::vector<std::string> names;
    for (const auto& status : models->statuses()) names.push_back(status.name);
    return names;
  }
  std::vector<std::string> story(const std::string& model) const { return house.log.story(model); }
  // What became of that, once it has.
  Result<ModelState> when_gone(const std::string& name) {
    std::optional<Result<ModelState>> told;
    models->when_gone(name, [&](Result<ModelState> outcome) { told.emplace(std::move(outcome)); });
    until([&] { return told.has_value(); });
    return *told;
  }
};

using Names = std::vector<std::string>;

TEST_CASE("apply: nothing has changed, and nothing is touched") {
  Reloaded reloaded;
  const Model* b = reloaded.models->find("b");
  reloaded.apply({reloaded.named("b"), reloaded.named("a")}, "a");
  CHECK(reloaded.house.log.events.empty());
  CHECK(reloaded.models->find("b") == b);
  CHECK(reloaded.names() == Names{"b", "a"});
}

TEST_CASE("apply: new models are made where they stand in the file, and loaded where that is at boot") {
  Reloaded reloaded;
  config::ModelConfig by_hand = reloaded.named("by-hand");
  by_hand.load = config::Load::manual;
  reloaded.apply({by_hand, reloaded.named("a"), reloaded.named("new"), reloaded.named("b")}, "a");
  CHECK(reloaded.names() == Names{"by-hand", "a", "new", "b"});
  CHECK(reloaded.models->leads_to(*reloaded.models->find("new")) == ModelState::ready);
  reloaded.until([&] { return reloaded.is_ready("new"); });
  CHECK(reloaded.models->find("by-hand")->state() == ModelState::uninitialized);
  CHECK(reloaded.story("a").empty());
  CHECK(reloaded.story("b").empty());
  by_hand.load = config::Load::boot;
  reloaded.apply({by_hand}, "by-hand");
  reloaded.until([&] { return reloaded.is_ready("by-hand"); });
}

TEST_CASE("apply: only what has changed is told of it") {
  Reloaded reloaded;
  config::ModelConfig changed = reloaded.named("b");
  changed.n_ctx = 512;
  reloaded.apply({reloaded.named("a"), changed}, "a");
  reloaded.until([&] { return reloaded.models->find("b")->status().load_count == 2; });
  CHECK(reloaded.story("a").empty());
  CHECK(reloaded.story("b").front() == "restarting:checking_local");
  CHECK(reloaded.story("b").back() == "ready");
}

TEST_CASE("apply: of one model, the others are left as they are") {
  Reloaded reloaded;
  config::ModelConfig changed = reloaded.named("a");
  changed.sources = {config::Source{config::FileSource{"/none.gguf"}}};
  reloaded.apply({changed, reloaded.named("b")}, "a");
  reloaded.until([&] { return reloaded.story("a").back() == "ready"; });  // reload_failed
  reloaded.house.log.events.clear();
  config::Config before = reloaded.house.services.config;
  reloaded.house.services.config.models[1].n_ctx = 512;
  reloaded.models->apply(before, "b");
  reloaded.until([&] { return reloaded.models->find("b")->status().load_count == 2; });
  CHECK(reloaded.story("a").empty());
  reloaded.apply(reloaded.house.services.config.models, "a");
  CHECK(reloaded.story("a") == Names{"restarting:checking_local"});  // tried again
}

TEST_CASE("apply: what is not configured any more unloads, then goes; the default model's socket moves") {
  Reloaded reloaded;
  reloaded.apply({reloaded.named("b")}, "b");
  CHECK(reloaded.models->find("a") == nullptr);
  CHECK(reloaded.names() == Names{"b"});
  CHECK(reloaded.shown() == Names{"b", "a"});  // it still holds memory
  CHECK(reloaded.models->default_model() == reloaded.models->find("b"));
  CHECK(reloaded.story("a") == Names{"unloading"});
  CHECK(reloaded.story("b") == Names{"ready"});
  CHECK(reloaded.house.sockets() == Names{".b.sock", "infer.b.sock", "infer.sock"});
  CHECK(reloaded.when_gone("a") == ModelState::uninitialized);
  CHECK(reloaded.story("a") == Names{"unloading", "unloaded"});
  const auto& last = std::get<status::Unloaded>(reloaded.house.log.events.back().status);
  CHECK(last.reason == UnloadReason::reload);
  CHECK(reloaded.house.log.forgotten == Names{"a"});
  CHECK(reloaded.shown() == Names{"b"});
  CHECK(reloaded.when_gone("a") == ModelState::uninitialized);
  CHECK(reloaded.house.log.forgotten == Names{"a"});
}

TEST_CASE("apply: a model goes whatever it does, and nobody waits for it for ever") {
  Reloaded reloaded;
  std::vector<ErrorCode> told;
  const auto is_told = [&](const auto& outcome) { told.push_back(outcome.error().code); };
  SUBCASE("it loads") {
    reloaded.apply({reloaded.endless("a")}, "a");
    reloaded.models->when_settled(*reloaded.models->find("a"), is_told);
    reloaded.apply({}, "");
  }
  SUBCASE("it has never been loaded, and is being fetched") {
    config::ModelConfig by_hand = reloaded.endless("c");
    by_hand.load = config::Load::manual;
    reloaded.apply({by_hand}, "c");
    reloaded.models->find("c")->pull(is_told);
    reloaded.until([&] { return reloaded.server.requests() == 1; });
    reloaded.apply({}, "");
  }
  reloaded.until([&] { return reloaded.shown().empty(); });
  CHECK(told == std::vector{ErrorCode::cancelled});
  CHECK(reloaded.models->default_model() == nullptr);
  CHECK(reloaded.house.sockets().empty());
}

TEST_CASE("apply: a model that comes back after it has gone is a new one") {
  Reloaded reloaded;
  reloaded.apply({reloaded.named("b")}, "b");
  CHECK(reloaded.when_gone("a"));
  reloaded.house.log.events.clear();
  reloaded.apply({reloaded.named("a"), reloaded.named("b")}, "b");
  reloaded.until([&] { return reloaded.is_ready("a"); });
  CHECK(reloaded.models->find("a")->status().load_count == 1);
  CHECK(reloaded.story("a").front() == "loading_model:checking_local");
}

TEST_CASE("apply: a model that comes back before it has gone unloads, then is loaded as it is wanted now") {
  Reloaded reloaded;
  reloaded.apply({reloaded.named("b")}, "b");
  config::ModelConfig back = reloaded.named("a");
  back.n_ctx = 512;
  Names wanted = {"unloading", "unloaded"};
  std::optional<Result<ModelState>> told;
  const auto apply_back = [&] {
    reloaded.apply({back, reloaded.named("b")}, "a");
    CHECK(reloaded.shown() == Names{"a", "b"});
    reloaded.models->when_settled(*reloaded.models->find("a"),
                                  [&](Result<ModelState> outcome) { told.emplace(std::move(outcome)); });
  };
  SUBCASE("at boot") {
    apply_back();
    CHECK(reloaded.models->leads_to(*reloaded.models->find("a")) == ModelState::ready);
  }
  SUBCASE("removed once more, and back once more") {
    apply_back();
    reloaded.apply({reloaded.named("b")}, "b");
    apply_back();
  }
  SUBCASE("by hand") {
    back.load = config::Load::manual;
    apply_back();
    CHECK(reloaded.models->leads_to(*reloaded.models->find("a")) == ModelState::uninitialized);
  }
  SUBCASE("while the daemon begins to stop") {
    apply_back();
    bool has_ended = false;
    reloaded.models->unload_all([&] { has_ended = true; });
    reloaded.until([&] { return has_ended; });
    CHECK(reloaded.models->find("a")->state() == ModelState::uninitialized);
    back.load = config::Load::manual;
  }
  reloaded.until([&] { return told.has_value(); });
  CHECK(reloaded.house.log.forgotten.empty());
  if (back.load == config::Load::manual) {
    CHECK(*told == ModelState::uninitialized);
    CHECK(reloaded.story("a") == wanted);
    return;
  }
  CHECK(*told == ModelState::ready);
  CHECK(reloaded.models->find("a")->config() == back);
  CHECK(std::filesystem::exists(reloaded.house.runtime + "/infer.sock"));
  wanted.insert(wanted.end(), {"loading_model:checking_local", "loading_model:mmap", "loading_model:kv_cache",
                               "capabilities", "ready"});
  CHECK(reloaded.story("a") == wanted);
}

TEST_CASE("apply: the daemon's stop waits for those that are going") {
  Reloaded reloaded;
  reloaded.apply({reloaded.named("b")}, "b");
  bool has_ended = false;
  reloaded.models->unload_all([&] { has_ended = true; });
  reloaded.until([&] { return has_ended; });
  CHECK(reloaded.story("a") == Names{"unloading", "unloaded"});
  CHECK(reloaded.house.sockets().empty());
  reloaded.house.loop.run();
  CHECK(reloaded.house.log.forgotten == Names{"a"});
}

}  // namespace
}  // namespace ggufd::model
