// A model's memory as the outside sees it: budget, eviction, idleness, files that change under it, plans.
#include <linux/magic.h>
#include <sys/vfs.h>

#include "model/mapping_guard.h"
#include "model/models.h"
#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;
using memory::test::gib;

struct Outcomes {
  std::shared_ptr<std::vector<Result<ModelState>>> told = std::make_shared<std::vector<Result<ModelState>>>();
  Model::Waiter waiter() const {
    return [to = told](Result<ModelState> outcome) { to->push_back(std::move(outcome)); };
  }
  bool is(ModelState state) const { return told->size() == 1 && told->front() == state; }
};

// Models a, b and c of the same file, of which two fit at a time.
struct Crowd {
  House house;
  std::string path = house.file(small_gguf());
  std::unique_ptr<Models> models;

  explicit Crowd(std::uint32_t idle_unload_s = 0) {
    for (const char* name : {"a", "b", "c"}) {
      config::ModelConfig config = in_place(path);
      config.name = name;
      config.load = config::Load::manual;
      config.idle_unload_s = idle_unload_s;
      house.services.config.models.push_back(std::move(config));
    }
    models = std::make_unique<Models>(house.services);
  }
  void leave_room_for(std::uint64_t bytes) { house.services.config.memory_headroom_bytes = 12 * gib - bytes; }
  std::uint64_t need() {
    std::optional<Result<answer::Plan>> plan;
    model("a").plan(memory_settings(model("a").config()),
                    [&](Result<answer::Plan> told) { plan = std::move(told); });
    REQUIRE(run_until(house.loop, [&] { return plan.has_value(); }));
    REQUIRE(*plan);
    return *(*plan)->total_bytes.value;
  }
  Model& model(const char* name) const { return *models->find(name); }
  Result<ModelState> load(const char* name) {
    const Outcomes loaded;
    model(name).load(loaded.waiter());
    REQUIRE(run_until(house.loop, [&] { return !loaded.told->empty(); }));
    return loaded.told->front();
  }
  std::vector<UnloadReason> unloads(const std::string& name) const {
    std::vector<UnloadReason> reasons;
    for (const auto& event : house.log.events) {
      if (const auto* unloaded = std::get_if<status::Unloaded>(&event.status);
          unloaded && event.model == name)
        reasons.push_back(unloaded->reason);
    }
    return reasons;
  }
};

TEST_CASE("more than there is ends the load with what is needed, what is left, and what would fit") {
  Crowd crowd;
  crowd.leave_room_for(crowd.need() - 1);
  const auto outcome = crowd.load("a");
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::out_of_memory_budget);
  const std::string& text = outcome.error().message;
  CHECK(text.find("a needs at least ") == 0);
  CHECK(text.find("weights ") != std::string::npos);
  CHECK(text.find("MemAvailable 12.00 GiB") != std::string::npos);
  CHECK(text.find("of headroom") != std::string::npos);
  CHECK(crowd.model("a").state() == ModelState::error);
  // Nothing of it is held: with a little more it fits.
  crowd.leave_room_for(crowd.need());
  CHECK(crowd.load("a") == ModelState::ready);
}

TEST_CASE("with evict: never the third of two gets an error, and the others stay") {
  Crowd crowd;
  crowd.leave_room_for(2 * crowd.need());
  CHECK(crowd.load("a") == ModelState::ready);
  CHECK(crowd.load("b") == ModelState::ready);
  const auto outcome = crowd.load("c");
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::out_of_memory_budget);
  CHECK(outcome.error().message.find("that other models hold") != std::string::npos);
  CHECK(crowd.model("a").state() == ModelState::ready);
  CHECK(crowd.model("b").state() == ModelState::ready);
}

TEST_CASE("with evict: lru the one that was used longest ago makes room") {
  Crowd crowd;
  crowd.house.services.config.evict = config::Evict::lru;
  crowd.leave_room_for(2 * crowd.need());
  CHECK(crowd.load("b") == ModelState::ready);
  CHECK(crowd.load("a") == ModelState::ready);
  CHECK(crowd.load("c") == ModelState::ready);
  CHECK(crowd.unloads("b") == std::vector{UnloadReason::evicted});
  CHECK(crowd.unloads("a").empty());
  CHECK(crowd.model("b").state() == ModelState::uninitialized);
  CHECK(crowd.load("b") == ModelState::ready);
  CHECK(crowd.unloads("a") == std::vector{UnloadReason::evicted});
}

TEST_CASE("a load right behind an unload waits for its memory") {
  Crowd crowd;
  crowd.leave_room_for(crowd.need());
  CHECK(crowd.load("a") == ModelState::ready);
  crowd.model("a").unload(UnloadReason::request, [](const Result<ModelState>&) {});
  CHECK(crowd.load("b") == ModelState::ready);
}

TEST_CASE("a model that nobody uses for idle_unload_s is unloaded; one with a connection is not") {
  Crowd crowd(1);
  CHECK(crowd.load("a") == ModelState::ready);
  SUBCASE("unused") {
    const auto began = crowd.house.loop.now_ms();
    REQUIRE(run_until(crowd.house.loop, [&] { return !crowd.unloads("a").empty(); }));
    CHECK(crowd.unloads("a") == std::vector{UnloadReason::idle});
    CHECK(crowd.house.loop.now_ms() - began >= 900);
  }
  SUBCASE("used meanwhile") {
    CHECK(crowd.model("a").unused_since_ms());
    const loop::test::Client client(crowd.house.runtime + "/infer.a.sock");
    REQUIRE(run_until(crowd.house.loop, [&] { return !crowd.model("a").unused_since_ms(); }));
    const auto used = crowd.house.loop.now_ms();
    REQUIRE(run_until(crowd.house.loop, [&] { return !crowd.unloads("a").empty(); }));
    // The engine lets a connection go after a second; the idle second begins anew with it.
    CHECK(crowd.house.loop.now_ms() - used >= 900);
  }
}

TEST_CASE("a file that becomes shorter under a ready model ends it, and no other one") {
  install_mapping_guard();
  Crowd crowd;
  const std::string other = crowd.house.file(small_gguf(2), "other.gguf");
  CHECK(crowd.load("a") == ModelState::ready);
  config::ModelConfig config = in_place(other);
  config.name = "other";
  Model lives(crowd.house.services, config, false);
  const Outcomes loaded;
  lives.load(loaded.waiter());
  REQUIRE(run_until(crowd.house.loop, [&] { return !loaded.told->empty(); }));

  std::filesystem::resize_file(crowd.path, 4096);
  REQUIRE(run_until(crowd.house.loop, [&] { return crowd.model("a").state() == ModelState::error; }));
  const auto& failed = std::get<status::Failed>(crowd.house.log.events.back().status);
  CHECK(failed.code == ErrorCode::map_failed);
  CHECK(failed.message.find(crowd.path) != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(crowd.house.runtime + "/infer.a.sock"));
  CHECK(lives.state() == ModelState::ready);
  // It comes back as soon as the file is good again.
  put(crowd.path, small_gguf());
  CHECK(crowd.load("a") == ModelState::ready);
}

TEST_CASE("a file that is written to under a ready model is a warning") {
  Crowd crowd;
  CHECK(crowd.load("a") == ModelState::ready);
  const auto warnings = [&] {
    return std::ranges::count_if(crowd.house.log.events, [](const auto& event) {
      const auto* warning = std::get_if<status::Warning>(&event.status);
      return warning != nullptr && warning->code == "file_changed";
    });
  };
  std::fstream(crowd.path, std::ios::in | std::ios::out | std::ios::binary).put('G').flush();
  REQUIRE(run_until(crowd.house.loop, [&] { return warnings() > 0; }));
  CHECK(crowd.model("a").state() == ModelState::ready);
  // Its attributes alone are not its bytes.
  CHECK(warnings() == 1);
}

TEST_CASE("unloading leaves the file's pages in the page cache, unless drop_cache says otherwise") {
  Crowd crowd;
  const auto file = store::open_file(crowd.path, O_RDONLY);
  REQUIRE(file);
  struct statfs system = {};
  REQUIRE(fstatfs(file->get(), &system) == 0);
  if (system.f_type == TMPFS_MAGIC) return;  // its files are nowhere else
  REQUIRE(store::sync_file(file->get(), crowd.path));
  const std::uint64_t size = std::filesystem::file_size(crowd.path);
  for (const bool drop_cache : {false, true}) {
    crowd.house.services.config.drop_cache = drop_cache;
    CHECK(crowd.load("a") == ModelState::ready);
    const Outcomes unloaded;
    crowd.model("a").unload(UnloadReason::request, unloaded.waiter());
    REQUIRE(run_until(crowd.house.loop, [&] { return !unloaded.told->empty(); }));
    const auto region = map_file(file->get(), size, crowd.path);
    REQUIRE(region);
    CHECK(resident_bytes(*region, 0, size) == (drop_cache ? 0 : size));
  }
}

TEST_CASE("a plan is the same whether the model is loaded or not") {
  Crowd crowd;
  const std::uint64_t need = crowd.need();
  CHECK(crowd.load("a") == ModelState::ready);
  CHECK(crowd.need() == need);
  CHECK(crowd.house.log.events.back().model == "a");
}

TEST_CASE("a plan of what is not in the store says so") {
  House house;
  config::ModelConfig config = from_url("http://127.0.0.1:1/m.gguf", small_gguf());
  Model model(house.services, config, true);
  std::optional<Result<answer::Plan>> plan;
  model.plan({}, [&](Result<answer::Plan> told) { plan = std::move(told); });
  REQUIRE(run_until(house.loop, [&] { return plan.has_value(); }));
  REQUIRE_FALSE(*plan);
  CHECK(plan->error().code == ErrorCode::not_in_store);
  CHECK(house.log.events.empty());
}

}  // namespace
}  // namespace ggufd::model
