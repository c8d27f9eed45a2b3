// The configuration read again: what holds at once, what waits, and that a bad file changes nothing.
#include "model/reload.h"

#include <map>

#include "model/config_difference.h"
#include "support.h"

namespace ggufd::model {
namespace {

using namespace test;
using Keys = std::vector<std::string>;

config::ModelConfig model(const std::string& name) {
  return {.name = name, .sources = {config::Source{config::FileSource{"/m.gguf"}}}};
}

TEST_CASE("equal configurations differ in nothing") {
  config::Config config;
  config.models = {model("a")};
  const ConfigDifference changes = difference(config, config);
  CHECK(changes.applicable.empty());
  CHECK(changes.pending.empty());
}

TEST_CASE("what a running daemon can take over is told from what waits for the next start") {
  config::Config running;
  running.models = {model("a"), model("b"), model("gone")};
  config::Config read = running;
  read.models = {model("b"), model("a"), model("new")};
  read.models[1].n_ctx = 1;
  read.models[1].sources = {config::Source{config::FileSource{"/other.gguf"}}};
  read.default_model = "b";
  read.models_home = "/models";
  read.auto_pull = false;
  read.memory_headroom_bytes = 1;
  read.evict = config::Evict::lru;
  read.drop_cache = true;
  read.scrub_interval_h = 24;
  read.fetch.bytes_per_second = 1000;
  read.fetch.proxy = "http://proxy:1";
  read.llama_server.args = {"--verbose"};
  read.admin.allow_uids = {1};
  read.http.tcp = "127.0.0.1:1";
  read.log = {config::LogLevel::debug, config::LogFormat::json};
  const ConfigDifference changes = difference(running, read);
  CHECK(changes.applicable ==
        Keys{"models[1].source", "models[1].n_ctx", "models[2] (new)", "models (without gone)",
             "default_model", "auto_pull", "memory_headroom_bytes", "evict", "drop_cache", "scrub_interval_h",
             "fetch.bytes_per_second", "fetch.proxy", "llama_server.args", "log.level"});
  CHECK(changes.pending == Keys{"models_home", "admin.allow_uids", "http.tcp", "log.format"});

  take_over(read, running);
  const ConfigDifference rest = difference(running, read);
  CHECK(rest.applicable.empty());
  CHECK(rest.pending == changes.pending);
  CHECK(running.models == read.models);
  CHECK(running.models_home.empty());
  CHECK(running.admin == config::AdminConfig());
}

TEST_CASE("of one model nothing else is looked at, nor taken over") {
  config::Config running;
  running.models = {model("a"), model("b")};
  running.default_model = "a";
  config::Config read;
  read.models = {model("new"), model("b")};
  read.models[1].n_ctx = 1;
  read.default_model = "new";
  read.auto_pull = false;
  const auto of = [&](std::string_view name) { return difference(running, read, name).applicable; };
  CHECK(of("a") == Keys{"models (without a)"});
  CHECK(of("b") == Keys{"models[1].n_ctx"});
  CHECK(of("new") == Keys{"models[0] (new)"});
  CHECK(of("none").empty());
  CHECK(difference(running, read, "b").pending.empty());

  config::Config wanted = running;
  take_over(read, running, "b");
  wanted.models[1].n_ctx = 1;
  CHECK(running == wanted);
  take_over(read, running, "new");
  wanted.models.push_back(model("new"));
  CHECK(running == wanted);
  take_over(read, running, "none");
  CHECK(running == wanted);
}

TEST_CASE("where the default model goes alone, the file says which it is, or it is the first") {
  config::Config running;
  running.models = {model("a"), model("b"), model("c")};
  running.default_model = "a";
  config::Config read;
  read.models = {model("c"), model("new")};
  read.default_model = "c";
  take_over(read, running, "a");
  CHECK(running.default_model == "c");
  read.models = {model("new")};
  read.default_model = "new";
  take_over(read, running, "c");
  CHECK(running.default_model == "b");
  take_over(read, running, "b");
  CHECK(running.default_model.empty());
  CHECK(running.models.empty());
  take_over(read, running, "new");
  CHECK(running.default_model == "new");
}

struct Reloaded {
  using Read = std::expected<config::Config, std::vector<config::Mistake>>;

  loop::Loop loop;
  config::Config running;
  Read file = config::Config();
  int reads = 0;
  std::vector<std::optional<std::string>> changes;  // what each was about
  std::vector<status::Warning> warnings;
  Reload reload{loop,
                "/etc/config.json",
                running,
                {.read =
                     [this] {
                       ++reads;
                       return file;
                     },
                 .on_changed = [this](const config::Config&,
                                      const std::optional<std::string>& model) { changes.push_back(model); },
                 .warn = [this](status::Warning warning) { warnings.push_back(std::move(warning)); }}};

  Result<void> ask(std::optional<std::string> model = {}) {
    std::optional<Result<void>> told;
    reload.ask([&](Result<void> outcome) { told.emplace(std::move(outcome)); }, std::move(model));
    CHECK_FALSE(told);
    REQUIRE(run_until(loop, [&] { return told.has_value(); }));
    return *told;
  }
};

TEST_CASE("reload: a good file holds as far as it can, and the rest is named") {
  Reloaded reloaded;
  reloaded.file->fetch.bytes_per_second = 7;
  CHECK(reloaded.ask());
  CHECK(reloaded.running.fetch.bytes_per_second == 7);
  CHECK(reloaded.changes.size() == 1);
  CHECK(reloaded.warnings.empty());
  reloaded.file->models = {model("a")};
  reloaded.file->http.tcp = "127.0.0.1:1";
  CHECK(reloaded.ask());
  CHECK(reloaded.running.models == reloaded.file->models);
  CHECK(reloaded.running.http.tcp.empty());
  REQUIRE(reloaded.warnings.size() == 1);
  CHECK(reloaded.warnings[0].code == "reload_incomplete");
  CHECK(reloaded.warnings[0].message == "takes effect at the next start: http.tcp");
}

TEST_CASE("reload: a bad file changes nothing, and its first mistakes are told") {
  Reloaded reloaded;
  std::vector<config::Mistake> mistakes;
  for (int i = 0; i < 5; ++i) mistakes.push_back({"/" + std::to_string(i), "is wrong"});
  reloaded.file = std::unexpected(mistakes);
  const auto outcome = reloaded.ask();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::bad_config);
  CHECK(outcome.error().message ==
        "/etc/config.json has 5 mistakes, and nothing was changed: /0: is wrong; /1: is wrong; /2: is wrong; "
        "and 2 more");
  REQUIRE(reloaded.warnings.size() == 1);
  CHECK(reloaded.warnings[0] == status::Warning{"bad_config", outcome.error().message});
  CHECK(reloaded.changes.empty());
  CHECK(reloaded.running == config::Config());
}

TEST_CASE("reload: who asks while the file is being read is told of a later reading") {
  Reloaded reloaded;
  int told = 0;
  reloaded.reload.ask([&](const Result<void>&) { ++told; });
  reloaded.reload.ask([&](const Result<void>&) { ++told; });
  reloaded.reload.ask([&](const Result<void>&) { ++told; });
  REQUIRE(run_until(reloaded.loop, [&] { return told == 3; }));
  CHECK(reloaded.reads == 2);
}

using About = std::vector<std::optional<std::string>>;

TEST_CASE("reload: of one model, nothing else of the file is applied or warned of") {
  Reloaded reloaded;
  reloaded.running.models = {model("gone"), model("same")};
  reloaded.running.default_model = "same";
  reloaded.file->models = {model("same"), model("new")};
  reloaded.file->auto_pull = false;
  reloaded.file->http.tcp = "127.0.0.1:1";
  CHECK(reloaded.ask("new"));
  CHECK(reloaded.running.models == std::vector{model("gone"), model("same"), model("new")});
  CHECK(reloaded.ask("gone"));
  CHECK(reloaded.running.models == reloaded.file->models);
  CHECK(reloaded.running.auto_pull);
  CHECK(reloaded.warnings.empty());
  CHECK(reloaded.changes == About{"new", "gone"});
  const auto unknown = reloaded.ask("gone");
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().code == ErrorCode::unknown_model);
  CHECK(reloaded.changes.size() == 2);
}

TEST_CASE("reload: what is asked for together is read once, and each is told of what it has asked for") {
  Reloaded reloaded;
  reloaded.running.models = {model("gone")};
  reloaded.file->models = {model("new"), model("other")};
  std::map<std::string, Result<void>> told;
  const auto ask = [&](const std::string& as, std::optional<std::string> name) {
    reloaded.reload.ask([&told, as](const Result<void>& outcome) { told.emplace(as, outcome); },
                        std::move(name));
  };
  ask("first", "first");  // read for itself: the others have not asked yet
  SUBCASE("of models") {
    for (const char* name : {"gone", "new", "none"}) ask(name, name);
    REQUIRE(run_until(reloaded.loop, [&] { return told.size() == 4; }));
    CHECK(reloaded.changes == About{"gone", "new"});
    CHECK(reloaded.running.models == std::vector{model("new")});
  }
  SUBCASE("of all of it, too") {
    for (const char* name : {"gone", "new", "none"}) ask(name, name);
    ask("all", std::nullopt);
    REQUIRE(run_until(reloaded.loop, [&] { return told.size() == 5; }));
    CHECK(told.at("all"));
    CHECK(reloaded.changes == About{std::nullopt});
    CHECK(reloaded.running.models == reloaded.file->models);
  }
  CHECK(reloaded.reads == 2);
  CHECK(told.at("gone"));
  CHECK(told.at("new"));
  for (const char* name : {"first", "none"}) CHECK(told.at(name).error().code == ErrorCode::unknown_model);
}

TEST_CASE("reload: stopping tells those who wait") {
  Reloaded reloaded;
  std::vector<ErrorCode> told;
  for (int i = 0; i < 2; ++i) {
    reloaded.reload.ask([&](const Result<void>& outcome) { told.push_back(outcome.error().code); });
  }
  reloaded.reload.stop();
  CHECK(told == std::vector{ErrorCode::cancelled, ErrorCode::cancelled});
  reloaded.loop.run();
  CHECK(reloaded.changes.empty());
}

}  // namespace
}  // namespace ggufd::model
