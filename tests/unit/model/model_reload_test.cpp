// A model whose configuration was read again: what begins again, in each of its states, and what is told.
#include <map>

#include "reload_support.h"

namespace ggufd::model {
namespace {

using namespace test;

TEST_CASE("reconfigure: a model that is ready is brought up again, and tells nothing but `restarting`") {
  Subject subject;
  subject.load();
  std::map<std::string, Lines> sockets;
  subject.house.log.at_event = [&](const Status&) {
    sockets[subject.house.log.story().back()] = subject.house.sockets();
  };
  const Waiting told = subject.reconfigure(subject.with_context(512));
  CHECK(subject.model->state() == ModelState::ready);
  CHECK(subject.model->leads_to() == ModelState::ready);
  CHECK_FALSE(told.is_told());
  subject.wait_for(told);
  CHECK(told.is(ModelState::ready));
  CHECK(subject.story() == Lines{"restarting:checking_local"} + again);
  CHECK(sockets["restarting:checking_local"] == Lines{".m.sock", "infer.m.sock", "infer.sock"});
  CHECK(sockets["restarting"] == Lines{".m.sock"});
  CHECK(sockets["ready"] == Lines{".m.sock", "infer.m.sock", "infer.sock"});
  for (const auto& event : subject.house.log.events) {
    const auto* restarting = std::get_if<status::Restarting>(&event.status);
    if (restarting != nullptr) CHECK(restarting->reason == RestartReason::reload);
  }
  CHECK(subject.told_context() == 512);
  CHECK(subject.model->status().load_count == 2);
}

TEST_CASE("reconfigure: what concerns nothing that is loaded holds at once, and nothing is told") {
  Subject subject;
  subject.load();
  config::ModelConfig next = subject.model->config();
  SUBCASE("nothing") {}
  SUBCASE("when it is loaded and unloaded") {
    next.load = config::Load::manual;
    next.load_timeout_s = 7;
    next.idle_unload_s = 3600;
  }
  SUBCASE("another llama_server, which it does not use") {
    subject.model->reconfigure(next, true);
  }
  const Waiting told = subject.reconfigure(next);
  CHECK(told.is(ModelState::ready));
  CHECK(subject.story().empty());
  CHECK(subject.model->config() == next);
}

TEST_CASE("reconfigure: a load that is under way begins again, in whatever turn it is") {
  int turns = 0;
  for (bool has_ended_first = false; !has_ended_first; ++turns) {
    REQUIRE(turns < 1'000);
    CAPTURE(turns);
    Subject subject;
    const Waiting loaded;
    subject.model->load(loaded.waiter());
    for (int i = 0; i < turns && !loaded.is_told(); ++i) subject.turns(1);
    has_ended_first = loaded.is_told();
    const Waiting told = subject.reconfigure(subject.with_context(512));
    CHECK(subject.model->leads_to() == ModelState::ready);
    subject.wait_for(told);
    CHECK(told.is(ModelState::ready));
    CHECK(loaded.is(ModelState::ready));
    CHECK(subject.told_context() == 512);
    CHECK(subject.model->status().load_count == (has_ended_first ? 2 : 1));
    for (const char* never : {"unloading", "unloaded"})
      CHECK(std::ranges::count(subject.story(), never) == 0);
    CHECK(subject.story().back() == "ready");
    CHECK(subject.house.sockets() == Lines{".m.sock", "infer.m.sock", "infer.sock"});
  }
  CHECK(turns > 3);
}

TEST_CASE("reconfigure: while it begins again, it may be told once more, or unloaded, in any turn") {
  for (const bool is_unloaded : {false, true}) {
    bool has_ended = false;
    for (int turns = 0; !has_ended; ++turns) {
      REQUIRE(turns < 1'000);
      CAPTURE(turns);
      Subject subject;
      subject.load();
      const Waiting told = subject.reconfigure(subject.with_context(512));
      for (int i = 0; i < turns && !told.is_told(); ++i) subject.turns(1);
      has_ended = told.is_told();
      if (is_unloaded) {
        subject.unload(UnloadReason::shutdown);
        CHECK((has_ended ? told.is(ModelState::ready) : told.is(ErrorCode::cancelled)));
        CHECK(subject.house.sockets().empty());
        CHECK(subject.story().back() == "unloaded");
        subject.load();
        CHECK(subject.model->config().n_ctx == 512);
        continue;
      }
      const Waiting second = subject.reconfigure(subject.with_context(768));
      subject.wait_for(second);
      CHECK(told.is(ModelState::ready));
      CHECK(second.is(ModelState::ready));
      CHECK(subject.told_context() == 768);
    }
  }
}

TEST_CASE("reconfigure: an error is loaded again where something has changed") {
  Subject subject;
  subject.house.file("no GGUF", "bad.gguf");
  subject.model =
      std::make_unique<Model>(subject.house.services, in_place(subject.house.files + "/bad.gguf"), true);
  const Waiting failed;
  subject.model->load(failed.waiter());
  subject.wait_for(failed);
  CHECK(subject.model->state() == ModelState::error);
  subject.house.log.events.clear();
  subject.model->reconfigure(subject.model->config(), false);
  CHECK(subject.model->state() == ModelState::error);
  CHECK(subject.story().empty());
  const Waiting told = subject.reconfigure(in_place(subject.house.files + "/m.gguf"));
  CHECK(subject.model->leads_to() == ModelState::ready);
  subject.wait_for(told);
  CHECK(told.is(ModelState::ready));
  CHECK(subject.story() == Lines{"restarting:checking_local", "restarting:verify", "restarting:mmap",
                                 "restarting:kv_cache", "capabilities", "ready"});
}

TEST_CASE("reconfigure: one that is not loaded stays so, and what it is loaded with is new") {
  Subject subject;
  SUBCASE("never loaded") {}
  SUBCASE("unloading") {
    subject.load();
    const Waiting unloaded;
    subject.model->unload(UnloadReason::request, unloaded.waiter());
    subject.model->reconfigure(subject.with_context(512), false);
    CHECK(subject.model->leads_to() == ModelState::uninitialized);
    const Waiting told = subject.settled();
    CHECK_FALSE(told.is_told());
    subject.wait_for(told);
    CHECK(told.is(ModelState::uninitialized));
    CHECK(unloaded.is(ModelState::uninitialized));
  }
  subject.house.log.events.clear();
  const Waiting told = subject.reconfigure(subject.with_context(512));
  CHECK(told.is(ModelState::uninitialized));
  CHECK(subject.story().empty());
  const Waiting loaded;
  subject.model->load(loaded.waiter());
  subject.wait_for(loaded);
  CHECK(subject.told_context() == 512);
}

TEST_CASE("set_default: infer.sock moves to the model that is the default one now, and it says so") {
  Subject subject;
  Model second(
      subject.house.services,
      [&] {
        config::ModelConfig config = subject.model->config();
        config.name = "n";
        return config;
      }(),
      false);
  subject.load();
  Waiting loaded;
  second.load(loaded.waiter());
  subject.wait_for(loaded);
  subject.house.log.events.clear();
  subject.model->set_default(false);
  CHECK(subject.house.sockets() == Lines{".m.sock", ".n.sock", "infer.m.sock", "infer.n.sock"});
  second.set_default(true);
  second.set_default(true);
  CHECK(subject.house.sockets() == Lines{".m.sock", ".n.sock", "infer.m.sock", "infer.n.sock", "infer.sock"});
  CHECK(subject.serves().find("\"n\"") != std::string::npos);
  REQUIRE(subject.house.log.events.size() == 2);
  const auto socket_told = [&](std::size_t index) {
    return *std::get<status::Ready>(subject.house.log.events[index].status).infer_socket;
  };
  CHECK(socket_told(0) == subject.house.runtime + "/infer.m.sock");
  CHECK(socket_told(1) == subject.house.runtime + "/infer.sock");
  CHECK(second.status().load_count == 1);
  Waiting unloaded;
  second.unload(UnloadReason::request, unloaded.waiter());
  CHECK_FALSE(std::filesystem::exists(subject.house.runtime + "/infer.sock"));
  subject.wait_for(unloaded);
}

TEST_CASE("unloading what is not configured any more ends everything, and tells all who wait") {
  Subject subject;
  // Big enough that a verify has a few slices.
  subject.load();
  std::vector<ErrorCode> errors;
  const auto blob = [&](const Result<answer::Blob>& result) { errors.push_back(result.error().code); };
  subject.model->pull(blob);
  int verifies = 0;
  int plans = 0;
  subject.model->verify([&](const Result<answer::Blob>&) { ++verifies; });
  for (int i = 0; i < 3; ++i) subject.model->plan({}, [&](const Result<answer::Plan>&) { ++plans; });
  const Waiting unloaded;
  subject.model->unload(UnloadReason::reload, unloaded.waiter());
  subject.wait_for(unloaded);
  CHECK(errors == std::vector{ErrorCode::cancelled});
  CHECK(verifies == 1);
  CHECK(plans == 3);
  CHECK(std::get<status::Unloaded>(subject.house.log.events.back().status).reason == UnloadReason::reload);
  const std::size_t events = subject.house.log.events.size();
  subject.model.reset();
  subject.house.loop.run();
  CHECK(subject.house.log.events.size() == events);
}

}  // namespace
}  // namespace ggufd::model
