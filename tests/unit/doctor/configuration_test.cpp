#include "support.h"

namespace ggufd::doctor::test {
namespace {

TEST_CASE("where all is in order nothing is found") {
  Scene scene;
  scene.configure_model(R"("source": "/nowhere/m.gguf", "load": "manual")");
  scene.put("config.json", R"({"models": []})");
  const auto report = scene.look();
  CHECK(report.ok);
  for (const answer::Check& check : report.checks) {
    const bool is_about_no_model = check.group == "configuration" && check.name == "file";
    CHECK_MESSAGE((check.result == Outcome::ok || check.result == Outcome::skip || is_about_no_model),
                  check.group << "/" << check.name << ": " << check.found);
  }
}

TEST_CASE("configuration, file: one with a model is ok") {
  Scene scene;
  scene.configure_model(R"("source": "/m.gguf")");
  CHECK_FINDING(scene.look("configuration", "file"), Outcome::ok, "1 model");
}

TEST_CASE("configuration, file: none, or one without a model, is a warning") {
  Scene scene;
  CHECK_FINDING(scene.look("configuration", "file"), Outcome::warn, "no model is configured");
  Subject subject = scene.subject();
  subject.places.config.reset();
  CHECK_FINDING(check_of(examine(subject), "configuration", "file"), Outcome::warn, "there is none at");
  CHECK(check_of(examine(subject), "configuration", "file").advice.find("write one") != std::string::npos);
  scene.put("root/etc/ggufd/config.json", "{}");
  CHECK(check_of(examine(subject), "configuration", "file").advice.find("GGUFD_CONFIG") != std::string::npos);
}

TEST_CASE("configuration, file: every mistake fails, at its place") {
  Scene scene;
  scene.configure(R"({"models": [{"name": "m", "source": "/m.gguf", "n_ctxx": 1}], "evict": "sometimes"})");
  const auto report = scene.look();
  CHECK(!report.ok);
  CHECK_FINDING(check_of(report, "configuration", "file"), Outcome::fail, "2 mistakes");
  CHECK_FINDING(check_of(report, "configuration", "/models/0/n_ctxx"), Outcome::fail, "n_ctx");
  CHECK_FINDING(check_of(report, "configuration", "/evict"), Outcome::fail, "lru");
}

TEST_CASE("configuration, file: one that is named and not there fails") {
  Scene scene;
  std::filesystem::remove(scene / "config.json");
  CHECK_FINDING(scene.look("configuration", "file"), Outcome::fail, "1 mistake");
}

TEST_CASE("configuration, owner: who may write it can have any program run") {
  Scene scene;
  CHECK_FINDING(scene.look("configuration", "owner"), Outcome::ok, "only user");
  scene.configure(R"({"models": []})", 0660);
  CHECK_FINDING(scene.look("configuration", "owner"), Outcome::warn, "its group");
  scene.configure(R"({"models": []})", 0666);
  CHECK_FINDING(scene.look("configuration", "owner"), Outcome::fail, "everybody");
}

TEST_CASE("configuration, owner: another user's file fails") {
  Scene scene;
  Subject subject = scene.subject();
  subject.uid = geteuid() + 1;
  if (geteuid() == 0) REQUIRE(chown((scene / "config.json").c_str(), 65534, 65534) == 0);
  CHECK_FINDING(check_of(examine(subject), "configuration", "owner"), Outcome::fail, "belongs to user");
}

TEST_CASE("configuration, running: a daemon may run something older than the file") {
  Scene scene;
  scene.running = config::Config();
  CHECK_FINDING(scene.look("configuration", "running"), Outcome::ok, "what the file says");
  scene.configure_model(R"("source": "/m.gguf")");
  CHECK_FINDING(scene.look("configuration", "running"), Outcome::warn, "before the file was changed");
  scene.configure("{");
  CHECK_FINDING(scene.look("configuration", "running"), Outcome::fail, "would not start again");
}

TEST_CASE("a configuration that cannot be read leaves what does not depend on it") {
  Scene scene;
  scene.configure("{");
  const auto report = scene.look();
  CHECK(check_of(report, "runtime", "folder").result == Outcome::ok);
  CHECK(check_of(report, "store", "folder").result == Outcome::ok);
}

}  // namespace
}  // namespace ggufd::doctor::test
