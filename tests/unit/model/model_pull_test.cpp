// A model's file without the model: pull, cancel and verify, and what the outside sees of them.
#include "model/models.h"
#include "store/manifest.h"
#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;
using Lines = std::vector<std::string>;
using Outcome = Result<answer::Blob>;

const Lines pull_story = {"loading_model:checking_local", "loading_model:download", "loading_model:verify"};

Lines operator+(Lines left, const Lines& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

// Remembers what its waiters are told.
struct Told {
  std::shared_ptr<std::vector<Outcome>> outcomes = std::make_shared<std::vector<Outcome>>();

  Model::BlobWaiter waiter() const {
    return [to = outcomes](Outcome outcome) { to->push_back(std::move(outcome)); };
  }
  bool is_told() const { return !outcomes->empty(); }
  bool is_good() const { return outcomes->size() == 1 && outcomes->front(); }
  bool is(ErrorCode code) const {
    return outcomes->size() == 1 && !outcomes->front() && outcomes->front().error().code == code;
  }
};

// A model that comes from the server in this process.
struct Remote {
  House house;
  std::string bytes = small_gguf();
  store::Digest digest = digest_of(bytes);
  HttpServer server;
  Model model{house.services, from_url(server.url("/m.gguf"), bytes), true};

  explicit Remote(HttpServer::Script script) : server(std::move(script)) {}
  Remote()
      : Remote([this](auto& exchange) {
          const std::string whole = answer(bytes);
          // A HEAD is asked for where the digest is not known.
          exchange.send(exchange.method == "HEAD" ? whole.substr(0, whole.size() - bytes.size()) : whole);
        }) {}

  Told pull() {
    Told told;
    model.pull(told.waiter());
    wait_for(told);
    return told;
  }
  void wait_for(const Told& told) {
    REQUIRE(run_until(house.loop, [&] { return told.is_told(); }));
  }
  Result<ModelState> load() {
    std::optional<Result<ModelState>> told;
    model.load([&](Result<ModelState> outcome) { told.emplace(std::move(outcome)); });
    REQUIRE(run_until(house.loop, [&] { return told.has_value(); }));
    return *told;
  }
};

HttpServer::Script never_answers() {
  return [](auto& exchange) { exchange.wait_for_close(); };
}

TEST_CASE("a pull fetches and verifies, loads nothing, and tells its progress") {
  Remote remote;
  const Told told = remote.pull();
  REQUIRE(told.is_good());
  CHECK(*told.outcomes->front() == answer::Blob{remote.digest.to_hex(), remote.bytes.size(),
                                                remote.house.store().blob_path(remote.digest)});
  CHECK(remote.house.is_in_store(remote.digest));
  CHECK(remote.model.state() == ModelState::uninitialized);
  CHECK(remote.house.log.story() == pull_story + Lines{"unloaded"});
  CHECK(std::get<status::Unloaded>(remote.house.log.events.back().status).reason == UnloadReason::request);
  const auto manifest = store::read_manifest(remote.house.store().root(), "m");
  REQUIRE(manifest);
  REQUIRE(*manifest);
  CHECK(store::blob_of(**manifest) == remote.digest);
}

TEST_CASE("while a pull is told, the status shows a download; after it, what was") {
  Remote remote;
  std::vector<answer::ModelStatus> seen;
  remote.house.log.at_event = [&](const Status&) { seen.push_back(remote.model.status()); };
  remote.pull();
  REQUIRE(seen.size() > 2);
  CHECK(seen.front().state == ModelState::uninitialized);
  CHECK(seen.front().phase == PhaseKind::checking_local);
  CHECK(seen.front().availability.code == 10);
  const auto after = remote.model.status();
  CHECK_FALSE(after.phase);
  CHECK(after.availability.code == 0);
  CHECK(after.sha256 == remote.digest.to_hex());
  CHECK(after.bytes == remote.bytes.size());
}

TEST_CASE("pulls at a time are one, and what is in the store already is not fetched") {
  Remote remote;
  const std::array<Told, 3> told;
  for (const Told& each : told) remote.model.pull(each.waiter());
  for (const Told& each : told) remote.wait_for(each);
  for (const Told& each : told) CHECK(each.is_good());
  CHECK(remote.server.requests() == 1);
  CHECK(remote.pull().is_good());
  CHECK(remote.server.requests() == 1);
}

TEST_CASE("a pull that fails leaves the model in error, with the story's end") {
  Remote remote([](auto& exchange) { exchange.send(answer("", "404 Not Found")); });
  CHECK(remote.pull().is(ErrorCode::http_status));
  CHECK(remote.model.state() == ModelState::error);
  CHECK(remote.house.log.story().back() == "error:http_status");
  // As after a load that has failed, a pull may be asked for again.
  CHECK(remote.pull().is(ErrorCode::http_status));
}

TEST_CASE("a model that was in error is so again after a pull, with the error that it had") {
  Remote remote([this_bytes = small_gguf()](auto& exchange) {
    exchange.send(exchange.number == 0 ? answer("", "404 Not Found") : answer(this_bytes));
  });
  REQUIRE_FALSE(remote.load());
  const auto before = std::get<status::Failed>(remote.house.log.events.back().status);
  CHECK(remote.pull().is_good());
  CHECK(remote.model.state() == ModelState::error);
  CHECK(std::get<status::Failed>(remote.house.log.events.back().status) == before);
  CHECK(remote.load() == ModelState::ready);
}

TEST_CASE("cancelling ends a pull: its waiters are told, and so is everyone") {
  Remote remote(never_answers());
  const Told told;
  remote.model.pull(told.waiter());
  REQUIRE(run_until(remote.house.loop, [&] { return remote.server.requests() > 0; }));
  std::optional<Result<ModelState>> cancelled;
  remote.model.cancel([&](Result<ModelState> state) { cancelled = state; });
  CHECK_FALSE(cancelled);
  const Told again;
  remote.model.pull(again.waiter());
  CHECK(again.is(ErrorCode::busy));
  REQUIRE(run_until(remote.house.loop, [&] { return cancelled.has_value(); }));
  CHECK(*cancelled == ModelState::uninitialized);
  CHECK(told.is(ErrorCode::cancelled));
  CHECK(remote.house.log.story() ==
        Lines{"loading_model:checking_local", "loading_model:download", "unloaded"});
  CHECK(std::get<status::Unloaded>(remote.house.log.events.back().status).reason == UnloadReason::cancelled);
}

TEST_CASE("unloading for a shutdown ends a pull and a verify, and waits for their ends") {
  Remote remote(never_answers());
  const Told pulled;
  const Told verified;
  remote.model.pull(pulled.waiter());
  REQUIRE(run_until(remote.house.loop, [&] { return remote.server.requests() > 0; }));
  remote.model.verify(verified.waiter());
  bool is_unloaded = false;
  remote.model.unload(UnloadReason::shutdown, [&](const Result<ModelState>&) { is_unloaded = true; });
  CHECK_FALSE(is_unloaded);
  REQUIRE(run_until(remote.house.loop, [&] { return is_unloaded; }));
  CHECK(pulled.is(ErrorCode::cancelled));
  CHECK(verified.is(ErrorCode::cancelled));
  CHECK(std::get<status::Unloaded>(remote.house.log.events.back().status).reason == UnloadReason::shutdown);
}

TEST_CASE("a load during a pull joins its download, and tells it from then on") {
  Remote remote([this_bytes = small_gguf()](auto& exchange) {
    exchange.wait_for_go();
    exchange.send(answer(this_bytes));
  });
  const Told told;
  remote.model.pull(told.waiter());
  REQUIRE(run_until(remote.house.loop, [&] { return remote.server.requests() > 0; }));
  std::optional<Result<ModelState>> loaded;
  remote.model.load([&](Result<ModelState> state) { loaded = state; });
  remote.server.go();
  REQUIRE(run_until(remote.house.loop, [&] { return loaded && told.is_told(); }));
  CHECK(*loaded == ModelState::ready);
  CHECK(told.is_good());
  CHECK(remote.server.requests() == 1);
  const Lines story = remote.house.log.story();
  CHECK(story.back() == "ready");
  CHECK(std::ranges::find(story, "unloaded") == story.end());
}

TEST_CASE("a pull of a model that is ready finds its blob and publishes nothing") {
  Remote remote;
  REQUIRE(remote.load() == ModelState::ready);
  const std::size_t events = remote.house.log.events.size();
  CHECK(remote.pull().is_good());
  CHECK(remote.house.log.events.size() == events);
  CHECK(remote.model.state() == ModelState::ready);
}

TEST_CASE("a pull hashes a blob whose stamp does not hold, and fetches again what is bad") {
  Remote remote;
  remote.house.put_blob(remote.bytes);
  spoil(remote.house, remote.digest);
  const Told told = remote.pull();
  CHECK(told.is_good());
  CHECK(remote.house.quarantined() == 1);
  CHECK(remote.server.requests() == 1);
  CHECK(remote.house.log.story() == Lines{"loading_model:checking_local", "loading_model:verify",
                                          "loading_model:quarantine", "loading_model:download",
                                          "loading_model:verify", "unloaded"});
}

TEST_CASE("verifying a model that is ready leaves it so; what is bad is a warning") {
  Remote remote;
  REQUIRE(remote.load() == ModelState::ready);
  const Told good;
  remote.model.verify(good.waiter());
  const Told also;
  remote.model.verify(also.waiter());
  remote.wait_for(good);
  CHECK(good.is_good());
  CHECK(also.is_good());
  spoil(remote.house, remote.digest);
  const Told bad;
  remote.model.verify(bad.waiter());
  remote.wait_for(bad);
  CHECK(bad.is(ErrorCode::sha256_mismatch));
  CHECK(remote.model.state() == ModelState::ready);
  CHECK(remote.model.status().availability.code == 300);
  CHECK(remote.house.log.story().back() == "warning:sha256_mismatch");
}

// --- Sources that no model has

struct Sources {
  Remote remote = {};
  Models models{remote.house.services};

  config::ModelConfig source(const std::string& name) {
    config::ModelConfig source = from_url(remote.server.url("/m.gguf"), remote.bytes);
    source.name = name;
    return source;
  }
  Told pull(const config::ModelConfig& source) {
    Told told;
    models.source_pulls().pull(source, told.waiter());
    remote.wait_for(told);
    return told;
  }
};

TEST_CASE("a source is pulled under its name, which its progress has and which is forgotten then") {
  Sources sources;
  const Told told = sources.pull(sources.source("new"));
  REQUIRE(told.is_good());
  const EventLog& log = sources.remote.house.log;
  CHECK(log.story("new").front() == "loading_model:checking_local");
  CHECK(std::ranges::count(log.story("new"), "loading_model:download") == 1);
  CHECK(log.story("new").back() == "unloaded");
  CHECK(std::get<status::Unloaded>(log.events.back().status).reason == UnloadReason::request);
  CHECK(log.forgotten == Lines{"new"});
  const auto manifest = store::read_manifest(sources.remote.house.store().root(), "new");
  REQUIRE(manifest);
  REQUIRE(*manifest);
  CHECK(store::blob_of(**manifest) == sources.remote.digest);
}

TEST_CASE("a source without a digest is pinned on first use, and does not take another file's name") {
  Sources sources;
  config::ModelConfig source = sources.source("new");
  source.sha256.clear();
  source.pin = config::Pin::first_use;
  CHECK(sources.pull(source).is_good());
  CHECK(sources.pull(source).is_good());
  std::get<config::UrlSource>(source.sources.front().where).url = sources.remote.server.url("/other.gguf");
  CHECK(sources.pull(source).is(ErrorCode::bad_field));
  CHECK(sources.remote.house.log.story("new").back() == "error:bad_field");
  CHECK(sources.remote.house.log.forgotten == Lines{"new", "new", "new"});
}

TEST_CASE("the pull of a source is cancelled by its name, and its waiters and those of that are told") {
  Sources sources{.remote = Remote(never_answers())};
  SourcePulls& pulls = sources.models.source_pulls();
  const Told told;
  pulls.pull(sources.source("new"), told.waiter());
  const Told shared;
  pulls.pull(sources.source("new"), shared.waiter());
  config::ModelConfig other = sources.source("new");
  other.sha256 = {std::string(64, '0')};
  const Told refused;
  pulls.pull(other, refused.waiter());
  CHECK(refused.is(ErrorCode::busy));
  CHECK(pulls.has("new"));
  std::optional<ModelState> state;
  pulls.cancel("new", [&](const Result<ModelState>& reached) { state = *reached; });
  CHECK_FALSE(state);
  const Told too_soon;
  pulls.pull(sources.source("new"), too_soon.waiter());
  CHECK(too_soon.is(ErrorCode::busy));
  sources.remote.wait_for(told);
  CHECK(told.is(ErrorCode::cancelled));
  CHECK(shared.is(ErrorCode::cancelled));
  CHECK(state == ModelState::uninitialized);
  CHECK_FALSE(pulls.has("new"));
  const EventLog& log = sources.remote.house.log;
  CHECK(log.story("new").back() == "unloaded");
  CHECK(std::get<status::Unloaded>(log.events.back().status).reason == UnloadReason::cancelled);
  CHECK(log.forgotten == Lines{"new"});
}

TEST_CASE("a model that has got the name of a source that is being pulled speaks for itself") {
  Sources sources{.remote = Remote(never_answers())};
  config::Config& config = sources.remote.house.services.config;
  const config::Config before = config;
  const Told told;
  sources.models.source_pulls().pull(sources.source("new"), told.waiter());
  config.models.push_back(sources.source("new"));
  config.models.back().load = config::Load::manual;
  sources.models.apply(before);
  const EventLog& log = sources.remote.house.log;
  sources.models.source_pulls().cancel("new", {});
  sources.remote.wait_for(told);
  CHECK(log.story("new").back() == "unloaded");
  CHECK(log.forgotten.empty());
}

TEST_CASE("too many sources at a time are busy, and a shutdown ends those that are under way") {
  Sources sources{.remote = Remote(never_answers())};
  std::vector<Told> told(SourcePulls::max_pulls);
  for (std::size_t i = 0; i < told.size(); ++i) {
    sources.models.source_pulls().pull(sources.source("s" + std::to_string(i)), told[i].waiter());
  }
  const Told refused;
  sources.models.source_pulls().pull(sources.source("more"), refused.waiter());
  CHECK(refused.is(ErrorCode::busy));
  bool is_done = false;
  sources.models.unload_all([&] { is_done = true; });
  CHECK_FALSE(is_done);
  REQUIRE(run_until(sources.remote.house.loop, [&] { return is_done; }));
  for (const Told& each : told) CHECK(each.is(ErrorCode::cancelled));
  const auto& last = std::get<status::Unloaded>(sources.remote.house.log.events.back().status);
  CHECK(last.reason == UnloadReason::shutdown);
}

TEST_CASE("a bad blob is a warning of every model that stands for it, by its digest or its manifest") {
  House house;
  auto& configs = house.services.config.models;
  configs.push_back(from_url("http://127.0.0.1/a", "a"));
  configs.push_back(from_url("http://127.0.0.1/b", "b"));
  configs.push_back(from_url("http://127.0.0.1/c", "c"));
  for (std::size_t i = 0; i < configs.size(); ++i)
    configs[i].name = std::string(1, static_cast<char>('a' + i));
  Models models(house.services);
  const BadBlob bad{digest_of("a"), digest_of("b"), "/blob", "/quarantine"};
  CHECK(models.tell_bad_blob(bad, {"c", "unknown"}));
  REQUIRE(house.log.events.size() == 2);
  CHECK(house.log.events[0].model == "a");
  CHECK(house.log.events[1].model == "c");
  CHECK(house.log.story() == Lines{"warning:sha256_mismatch"});
  CHECK_FALSE(models.tell_bad_blob({digest_of("x"), digest_of("y"), "", ""}, {"unknown"}));
}

}  // namespace
}  // namespace ggufd::model
