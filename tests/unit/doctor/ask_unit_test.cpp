#include "doctor/service.h"
#include "support.h"

namespace ggufd::doctor::test {
namespace {

// What is told of the unit where systemctl is this script.
Result<std::string> told_of_unit(const Scene& scene, const std::string& script) {
  scene.put("systemctl", "#!/bin/sh\n" + script, 0700);
  loop::Loop loop;
  Result<std::string> told = fail(ErrorCode::internal, "it was not asked");
  AskUnit asking(loop, scene / "systemctl", true, {"PATH=/usr/bin:/bin"},
                 [&](Result<std::string> properties) { told = std::move(properties); });
  loop.run();
  return told;
}

TEST_CASE("service: a user's own unit goes before the system's") {
  const Scene scene;
  const auto told = told_of_unit(scene, R"(echo "LoadState=loaded
UnitFileState=$1")");
  REQUIRE(told);
  CHECK(told->find("UnitFileState=--user") != std::string::npos);
}

TEST_CASE("service: the system's unit is asked for where the user has none, or has no systemd of his own") {
  for (const char* of_user : {"echo LoadState=not-found", "echo 'Failed to connect to bus'; exit 1"}) {
    CAPTURE(of_user);
    const Scene scene;
    const auto told = told_of_unit(
        scene, fmt::format("if [ \"$1\" = --user ]; then {}; else echo LoadState=masked; fi", of_user));
    REQUIRE(told);
    CHECK(*told == "LoadState=masked\n");
  }
}

TEST_CASE("service: where neither can be asked the user's answer stands") {
  const Scene scene;
  const auto none = told_of_unit(scene, "[ \"$1\" = --user ] && echo LoadState=not-found");
  REQUIRE(none);
  CHECK(*none == "LoadState=not-found\n");
  const auto failed = told_of_unit(scene, "echo \"no bus for $1\"; exit 1");
  REQUIRE_FALSE(failed);
  CHECK(failed.error().message.find("no bus for --user") != std::string::npos);
}

}  // namespace
}  // namespace ggufd::doctor::test
