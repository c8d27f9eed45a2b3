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

}  // namespace
}  // namespace ggufd::model
