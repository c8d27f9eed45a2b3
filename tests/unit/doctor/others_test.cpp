// The engine, other stores, the service, sources and a running daemon.
#include "doctor/running.h"
#include "doctor/service.h"
#include "doctor/sources.h"
#include "support.h"

namespace ggufd::doctor::test {
namespace {

TEST_CASE("engine: found, too old, missing") {
  Scene scene;
  scene.configure_model(R"("source": "/m.gguf", "engine": "resident")");
  CHECK_FINDING(scene.look("engine", "llama-server"), Outcome::skip, "no model runs on it");
  scene.configure_model(R"("source": "/m.gguf")");
  CHECK_FINDING(scene.look("engine", "llama-server"), Outcome::skip, "not asked");
  scene.engine =
      FoundEngine{"/usr/bin/llama-server", {.version = "9963 (dc02e1f8)", .has_unix_sockets = true}};
  CHECK_FINDING(scene.look("engine", "llama-server"), Outcome::ok, "9963");
  (*scene.engine)->build.has_unix_sockets = false;
  CHECK_FINDING(scene.look("engine", "llama-server"), Outcome::warn, "relayed");
  scene.engine = fail(ErrorCode::engine_not_found, "there is no llama-server in PATH");
  CHECK_FINDING(scene.look("engine", "llama-server"), Outcome::warn, "held ready and answer nothing");
  scene.configure_model(R"("source": "/m.gguf", "engine": "llama-server")");
  CHECK_FINDING(scene.look("engine", "llama-server"), Outcome::fail, "no llama-server in PATH");
  scene.configure_model(R"("source": "/m.gguf")");
  scene.engine = fail(ErrorCode::engine_failed, "it was ended by signal 4");
  CHECK_FINDING(scene.look("engine", "llama-server"), Outcome::fail, "signal 4");
}

TEST_CASE("other stores: what could be imported, and what would be fetched in vain") {
  Scene scene;
  CHECK_FINDING(scene.look("other stores", "ollama"), Outcome::skip, "is not there");
  const std::string hex(64, 'a');
  scene.put("home/.ollama/models/blobs/sha256-" + hex, "GGUF");
  scene.put(
      "home/.ollama/models/manifests/registry.ollama.ai/library/tiny/latest",
      R"({"schemaVersion": 2, "layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:)" +
          hex + R"(", "size": 4}]})");
  CHECK_FINDING(scene.look("other stores", "ollama"), Outcome::ok, "1 GGUF file in");
  scene.configure_model(R"("source": "https://example.org/m.gguf", "sha256": ")" + hex + "\"");
  CHECK_FINDING(scene.look("other stores", "ollama"), Outcome::warn, "m would be fetched for");
  scene.put("home/.ollama/models/manifests/registry.ollama.ai/library/tiny/latest", "{");
  CHECK_FINDING(scene.look("other stores", "ollama"), Outcome::warn, "tiny");
}

TEST_CASE("other stores: another user's is not looked into") {
  Scene scene;
  scene.make_folder("theirs/ollama", 0755);
  scene.make_folder("theirs", 0700);
  scene.variables["OLLAMA_MODELS"] = scene / "theirs/ollama";
  const Subject subject = scene.subject();
  if (geteuid() != 0) scene.make_folder("theirs", 0);
  const WithoutRights without_rights;
  CHECK_FINDING(check_of(examine(subject), "other stores", "ollama"), Outcome::skip, "not for this user");
}

TEST_CASE("other stores: one that cannot be listed fails") {
  for (const char* name : {"hf", "ollama", "llama.cpp"}) {
    CAPTURE(name);
    Scene scene;
    scene.put("a file", "");
    scene.variables["HF_HUB_CACHE"] = scene.variables["OLLAMA_MODELS"] = scene.variables["LLAMA_CACHE"] =
        scene / "a file";
    CHECK_FINDING(scene.look("other stores", name), Outcome::fail, "a file");
  }
}

answer::Check unit(std::string_view properties) {
  answer::Doctor report;
  judge_unit(properties, report);
  return check_of(report, "service", "systemd");
}

TEST_CASE("service: as systemctl tells it") {
  CHECK_FINDING(unit("LoadState=not-found\nActiveState=inactive\n"), Outcome::skip, "not installed");
  CHECK_FINDING(
      unit("LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nNRestarts=0\n"),
      Outcome::ok, "active (running), enabled");
  CHECK_FINDING(
      unit("LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=disabled\nNRestarts=0\n"),
      Outcome::warn, "next boot");
  CHECK_FINDING(unit("LoadState=loaded\nActiveState=inactive\nSubState=dead\nUnitFileState=enabled\n"),
                Outcome::warn, "inactive");
  CHECK_FINDING(
      unit("LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nNRestarts=3\n"),
      Outcome::warn, "restarted 3 times");
  CHECK_FINDING(
      unit(
          "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nUnitFileState=enabled\n"),
      Outcome::fail, "exit-code");
  CHECK_FINDING(unit("LoadState=masked\n"), Outcome::fail, "masked");
}

config::Config config_of(const std::string& keys) {
  const auto config = config::parse_config(R"({"models": [{"name": "m", )" + keys + "}]}");
  REQUIRE(config);
  return *config;
}

const std::string first_use = R"("source": "https://example.org/m.gguf", "pin": "first-use")";

answer::Doctor sources(const config::Config& config, std::expected<SourceAnswer, fetch::Failure> answer,
                       Timestamp now = {1'000'000'000}) {
  answer::Doctor report;
  judge_sources({{"m", false, config.models.front().sources.front(), std::move(answer)}}, config, now,
                report);
  return report;
}

TEST_CASE("sources: ranges and a digest are what one wants") {
  const auto config = config_of(first_use);
  SourceAnswer answer{.file = {.url = "https://example.org/m.gguf"}, .total_bytes = 1000, .has_ranges = true};
  CHECK_FINDING(check_of(sources(config, answer), "sources", "m"), Outcome::warn, "will be believed");
  answer.file.sha256 = store::sha256_of("x").value();
  CHECK_FINDING(check_of(sources(config, answer), "sources", "m"), Outcome::ok, "publishes its SHA-256");
  answer.has_ranges = false;
  CHECK_FINDING(check_of(sources(config, answer), "sources", "m"), Outcome::warn, "no ranges");
}

TEST_CASE("sources: what contradicts the configuration fails") {
  const auto config =
      config_of(first_use + R"(, "size_bytes": 999, "sha256": ")" + std::string(64, '0') + "\"");
  SourceAnswer answer{.file = {.url = "https://example.org/m.gguf"}, .total_bytes = 1000, .has_ranges = true};
  CHECK_FINDING(check_of(sources(config, answer), "sources", "m"), Outcome::fail, "size_bytes says 999");
  answer.total_bytes = 999;
  CHECK_FINDING(check_of(sources(config, answer), "sources", "m"), Outcome::ok, "publishes no SHA-256");
  answer.file.sha256 = store::sha256_of("x").value();
  CHECK_FINDING(check_of(sources(config, answer), "sources", "m"), Outcome::fail, "sha256 says 000");
}

TEST_CASE("sources: one that does not answer fails with why") {
  const auto config = config_of(first_use);
  for (const auto& [code, word] :
       {std::pair(ErrorCode::tls, "certificates"), std::pair(ErrorCode::network, "network"),
        std::pair(ErrorCode::http_status, "token")}) {
    const auto check = check_of(sources(config, std::unexpected(fetch::Failure{.error = {code, "no luck"}})),
                                "sources", "m");
    CHECK_FINDING(check, Outcome::fail, "no luck");
    CHECK(check.advice.find(word) != std::string::npos);
  }
}

TEST_CASE("sources, clock: compared with the servers'") {
  const auto config = config_of(first_use);
  SourceAnswer answer{.has_ranges = true, .date_s = 1'000'000};
  const auto clock = [&](std::int64_t now_s) {
    return check_of(sources(config, answer, {now_s * 1000}), "sources", "clock");
  };
  CHECK_FINDING(clock(1'000'030), Outcome::ok, "30 s");
  CHECK_FINDING(clock(1'000'090), Outcome::warn, "90 s");
  CHECK_FINDING(clock(900'000), Outcome::fail, "look expired");
  answer.date_s.reset();
  CHECK_FINDING(clock(1'000'000), Outcome::skip, "no server");
}

TEST_CASE("daemon: each model's health") {
  answer::ModelStatus model{.name = "m", .state = ModelState::ready, .health = Health::ok};
  const auto judged = [&] {
    answer::Doctor report;
    judge_models({.models = {model}}, report);
    return check_of(report, "daemon", "m");
  };
  CHECK_FINDING(judged(), Outcome::ok, "ready");
  model.engine.restarts = 2;
  model.engine.last_exit = "signal 9";
  CHECK_FINDING(judged(), Outcome::warn, "signal 9");
  model.state = ModelState::error;
  model.health = Health::unhealthy;
  model.availability.message.value = "the disk is full";
  CHECK_FINDING(judged(), Outcome::fail, "error: the disk is full");
  model.engine.restarts = 0;
  model.state = ModelState::ready;
  model.health = Health::ok;
  CHECK_FINDING(judged(), Outcome::warn, "the disk is full");
}

}  // namespace
}  // namespace ggufd::doctor::test
