// New bytes of a model that is ready: it serves until they are here, and stays where they can't be had.
#include "reload_support.h"

namespace ggufd::model {
namespace {

using namespace test;

TEST_CASE("reconfigure: the old bytes serve until the new ones are verified") {
  Subject subject;
  subject.load();
  const Waiting told = subject.reconfigure(subject.with_new_bytes());
  subject.until_asked();
  CHECK(subject.story() == Lines{"restarting:checking_local", "restarting:download"});
  CHECK(subject.model->state() == ModelState::ready);
  CHECK(subject.model->status().sha256 == digest_of(subject.old_bytes).to_hex());
  CHECK(subject.serves().find("resident") != std::string::npos);
  subject.server.go();
  subject.wait_for(told);
  CHECK(told.is(ModelState::ready));
  CHECK(subject.story() ==
        Lines{"restarting:checking_local", "restarting:download", "restarting:verify"} + again);
  CHECK(subject.model->status().sha256 == digest_of(subject.new_bytes).to_hex());
  CHECK(subject.model->config() == subject.with_new_bytes());
  CHECK(subject.serves().find("resident") != std::string::npos);
}

TEST_CASE("reconfigure: what would not fit leaves what serves, unless others may make room") {
  constexpr std::uint32_t too_long = 4'000'000'000;
  Subject subject;
  subject.load();
  const config::ModelConfig before = subject.model->config();
  const Waiting told = subject.reconfigure(subject.with_context(too_long));
  subject.wait_for(told);
  CHECK(told.is(ErrorCode::out_of_memory_budget));
  CHECK(subject.story() == Lines{"restarting:checking_local", "warning:reload_failed", "ready"});
  CHECK(subject.model->config() == before);
  CHECK(subject.model->status().load_count == 1);
  CHECK(subject.serves().find("resident") != std::string::npos);

  subject.house.services.config.evict = config::Evict::lru;
  const Waiting tried = subject.reconfigure(subject.with_context(too_long));
  subject.wait_for(tried);
  CHECK(tried.is(ErrorCode::out_of_memory_budget));
  CHECK(subject.model->state() == ModelState::error);
}

// Why new bytes can't be had, and what puts that right.
struct Hindrance {
  const char* name;
  Lines told;
  std::function<config::ModelConfig(Subject&)> change;
  std::function<void(Subject&)> mend;
};

std::vector<Hindrance> hindrances() {
  return {{"the server has none",
           {"restarting:checking_local", "restarting:download"},
           [](Subject& subject) {
             subject.is_gone = true;
             subject.server.go();
             return subject.with_new_bytes();
           },
           [](Subject& subject) { subject.is_gone = false; }},
          {"auto_pull is off",
           {"restarting:checking_local"},
           [](Subject& subject) {
             subject.house.services.config.auto_pull = false;
             return subject.with_new_bytes();
           },
           [](Subject& subject) { subject.house.put_blob(subject.new_bytes); }},
          {"a local file is not there",
           {"restarting:checking_local"},
           [](Subject& subject) { return in_place(subject.house.files + "/none.gguf"); },
           [](Subject& subject) { subject.house.file(subject.new_bytes, "none.gguf"); }}};
}

TEST_CASE("reconfigure: new bytes that can't be had leave what serves; the next reload or load tries again") {
  for (const Hindrance& hindrance : hindrances()) {
    for (const bool is_reloaded : {true, false}) {
      CAPTURE(hindrance.name);
      CAPTURE(is_reloaded);
      Subject subject;
      subject.load();
      const config::ModelConfig before = subject.model->config();
      const config::ModelConfig next = hindrance.change(subject);
      const Waiting told = subject.reconfigure(next);
      subject.wait_for(told);
      CHECK_FALSE(told.told->front());
      CHECK(subject.story() == hindrance.told + Lines{"warning:reload_failed", "ready"});
      CHECK(subject.model->state() == ModelState::ready);
      CHECK(subject.model->config() == before);
      CHECK(subject.model->status().availability.code == 300);
      CHECK(subject.model->status().load_count == 1);
      CHECK(subject.house.sockets() == Lines{".m.sock", "infer.m.sock", "infer.sock"});
      hindrance.mend(subject);
      if (is_reloaded) {
        const Waiting again_told = subject.reconfigure(next);
        subject.wait_for(again_told);
        CHECK(again_told.is(ModelState::ready));
      } else {
        subject.unload();
        subject.load();
      }
      CHECK(subject.model->config() == next);
      CHECK(subject.model->status().sha256 == digest_of(subject.new_bytes).to_hex());
      CHECK(subject.model->status().availability.code == 200);
    }
  }
}

TEST_CASE("reconfigure: the same once more goes on with what is being fetched") {
  Subject subject;
  subject.load();
  const Waiting first = subject.reconfigure(subject.with_new_bytes());
  subject.until_asked();
  const std::size_t events = subject.house.log.events.size();
  const Waiting second = subject.reconfigure(subject.with_new_bytes());
  CHECK(subject.house.log.events.size() == events);
  subject.server.go();
  subject.wait_for(first);
  CHECK(first.is(ModelState::ready));
  CHECK(second.is(ModelState::ready));
  CHECK(subject.server.requests() == 1);
}

TEST_CASE("reconfigure: taken back while the new bytes come, what is loaded stays, and nothing is wrong") {
  Subject subject;
  subject.load();
  const config::ModelConfig before = subject.model->config();
  const Waiting told = subject.reconfigure(subject.with_new_bytes());
  subject.until_asked();
  const Waiting back = subject.reconfigure(before);
  CHECK(told.is(ErrorCode::cancelled));
  CHECK(back.is(ModelState::ready));
  CHECK(subject.story() == Lines{"restarting:checking_local", "restarting:download", "ready"});
  CHECK(subject.model->status().availability.code == 200);
  CHECK(subject.serves().find("resident") != std::string::npos);
  subject.unload();
  subject.load();
  CHECK(subject.model->config() == before);
}

TEST_CASE("reconfigure: a change that failed and is taken back leaves no warning, but that of the load") {
  for (const bool has_warning : {false, true}) {
    CAPTURE(has_warning);
    Subject subject;
    if (has_warning) {
      config::ModelConfig config = subject.model->config();
      config.engine = config::EngineChoice::automatic;
      subject.model->reconfigure(config, false);
    }
    subject.load();
    const config::ModelConfig before = subject.model->config();
    const Availability loaded = subject.model->status().availability;
    CHECK(loaded.code == (has_warning ? 300 : 200));
    subject.wait_for(subject.reconfigure(in_place(subject.house.files + "/none.gguf")));
    CHECK(subject.model->status().availability.message.value->find("what is loaded stays") == 0);
    subject.house.log.events.clear();
    CHECK(subject.reconfigure(before).is(ModelState::ready));
    CHECK(subject.model->status().availability == loaded);
    CHECK(subject.story() == Lines{"ready"});
    CHECK(subject.reconfigure(before).is(ModelState::ready));
    CHECK(subject.story() == Lines{"ready"});
  }
}

TEST_CASE("reconfigure: while the new bytes come the status has their phase, and the model is as available") {
  Subject subject;
  subject.load();
  subject.wait_for(subject.reconfigure(in_place(subject.house.files + "/none.gguf")));
  CHECK(subject.model->status().availability.code == 300);
  const Waiting told = subject.reconfigure(subject.with_new_bytes());
  CHECK(subject.model->status().availability.code == 200);
  subject.until_asked();
  CHECK(subject.model->status().phase == PhaseKind::download);
  CHECK(subject.model->status().availability.code == 200);
  subject.server.go();
  subject.wait_for(told);
  CHECK(told.is(ModelState::ready));
  CHECK_FALSE(subject.model->status().phase);
}

TEST_CASE("reconfigure: another change while the new bytes come takes their place") {
  Subject subject;
  subject.load();
  const Waiting first = subject.reconfigure(subject.with_new_bytes());
  subject.until_asked();
  const Waiting second = subject.reconfigure(subject.with_context(512));
  subject.wait_for(second);
  CHECK(first.is(ModelState::ready));
  CHECK(second.is(ModelState::ready));
  CHECK(subject.told_context() == 512);
  CHECK(subject.model->status().sha256 == digest_of(subject.old_bytes).to_hex());
}

TEST_CASE("reconfigure: unloaded while the new bytes come, it is loaded with them from then on") {
  for (const UnloadReason reason : {UnloadReason::request, UnloadReason::shutdown}) {
    Subject subject;
    subject.load();
    const Waiting told = subject.reconfigure(subject.with_new_bytes());
    subject.until_asked();
    subject.unload(reason);
    CHECK(told.is(ErrorCode::cancelled));
    CHECK(subject.story() ==
          Lines{"restarting:checking_local", "restarting:download", "unloading", "unloaded"});
    CHECK(subject.house.sockets().empty());
    subject.server.go();
    subject.load();
    CHECK(subject.model->status().sha256 == digest_of(subject.new_bytes).to_hex());
  }
}

TEST_CASE("reconfigure: the new bytes come to a model that was lost meanwhile, and bring it back") {
  Subject subject;
  subject.load();
  const Waiting told = subject.reconfigure(subject.with_new_bytes());
  subject.until_asked();
  std::filesystem::resize_file(subject.house.files + "/m.gguf", 100);
  subject.model->check_mapped_files();
  REQUIRE(run_until(subject.house.loop, [&] { return subject.model->state() == ModelState::error; }));
  CHECK(told.is(ErrorCode::map_failed));
  const Waiting back = subject.settled();
  CHECK_FALSE(back.is_told());
  SUBCASE("when they are here") {
    // What was loaded is given back by then.
    REQUIRE(run_until(subject.house.loop, [&] { return subject.house.sockets().empty(); }));
    subject.turns(3);
    subject.server.go();
  }
  SUBCASE("at once, where somebody asks for it") {
    subject.model->load({});
    subject.server.go();
  }
  subject.wait_for(back);
  CHECK(back.is(ModelState::ready));
  CHECK(subject.model->status().sha256 == digest_of(subject.new_bytes).to_hex());
  CHECK(subject.model->status().load_count == 2);
}

}  // namespace
}  // namespace ggufd::model
