// The configuration read again: what holds at once, what waits, and that a bad file changes nothing.
#include "model/reload.h"

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
  read.auto_pull = false;
  read.scrub_interval_h = 24;
  read.fetch.bytes_per_second = 1000;
  read.fetch.proxy = "http://proxy:1";
  read.llama_server.args = {"--verbose"};
  read.admin.allow_uids = {1};
  read.http.tcp = "127.0.0.1:1";
  read.log = {config::LogLevel::debug, config::LogFormat::json};
  const ConfigDifference changes = difference(running, read);
  CHECK(changes.applicable ==
        Keys{"auto_pull", "scrub_interval_h", "fetch.bytes_per_second", "fetch.proxy", "log.level"});
  CHECK(changes.pending == Keys{"models[1].source", "models[1].n_ctx", "models[2] (new)",
                                "models (without gone)", "default_model", "llama_server.args",
                                "admin.allow_uids", "http.tcp", "log.format"});
}

TEST_CASE("after taking over only what waits still differs") {
  config::Config running;
  config::Config read;
  read.fetch.retries = 1;
  read.auto_pull = false;
  read.scrub_interval_h = 1;
  read.log = {config::LogLevel::trace, config::LogFormat::json};
  read.drop_cache = true;
  take_over(read, running);
  const ConfigDifference changes = difference(running, read);
  CHECK(changes.applicable.empty());
  CHECK(changes.pending == Keys{"drop_cache", "log.format"});
}

struct Reloaded {
  using Read = std::expected<config::Config, std::vector<config::Mistake>>;

  loop::Loop loop;
  config::Config running;
  Read file = config::Config();
  int reads = 0;
  int changes = 0;
  std::vector<status::Warning> warnings;
  Reload reload{loop,
                "/etc/config.json",
                running,
                {.read =
                     [this] {
                       ++reads;
                       return file;
                     },
                 .on_changed = [this] { ++changes; },
                 .warn = [this](status::Warning warning) { warnings.push_back(std::move(warning)); }}};

  Result<void> ask() {
    std::optional<Result<void>> told;
    reload.ask([&](Result<void> outcome) { told.emplace(std::move(outcome)); });
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
  CHECK(reloaded.changes == 1);
  CHECK(reloaded.warnings.empty());
  reloaded.file->models = {model("a")};
  CHECK(reloaded.ask());
  CHECK(reloaded.running.models.empty());
  REQUIRE(reloaded.warnings.size() == 1);
  CHECK(reloaded.warnings[0].code == "reload_incomplete");
  CHECK(reloaded.warnings[0].message == "takes effect at the next start: models[0] (new)");
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
  CHECK(reloaded.changes == 0);
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

TEST_CASE("reload: stopping tells those who wait") {
  Reloaded reloaded;
  std::vector<ErrorCode> told;
  for (int i = 0; i < 2; ++i) {
    reloaded.reload.ask([&](const Result<void>& outcome) { told.push_back(outcome.error().code); });
  }
  reloaded.reload.stop();
  CHECK(told == std::vector{ErrorCode::cancelled, ErrorCode::cancelled});
  reloaded.loop.run();
  CHECK(reloaded.changes == 0);
}

}  // namespace
}  // namespace ggufd::model
