#include "support.h"

namespace ggufd::doctor::test {
namespace {

TEST_CASE("machine, processor: what matters is named") {
  Scene scene;
  CHECK_FINDING(scene.look("machine", "processor"), Outcome::ok, "sha_ni, avx2, avx512f, amx_tile");
  scene.put("root/proc/cpuinfo", "flags\t\t: fpu sse4_2 avx2\n");
  CHECK_FINDING(scene.look("machine", "processor"), Outcome::warn, "lacks SHA instructions");
  scene.put("root/proc/cpuinfo", "flags\t\t: fpu sse4_2 sha_ni\n");
  CHECK_FINDING(scene.look("machine", "processor"), Outcome::warn, "AVX2");
  scene.put("root/proc/cpuinfo", "Features\t: fp asimd sha2 i8mm\n");
  CHECK_FINDING(scene.look("machine", "processor"), Outcome::ok, "sha2, asimd, i8mm");
  scene.put("root/proc/cpuinfo", "Features\t: fp asimd\n");
  CHECK_FINDING(scene.look("machine", "processor"), Outcome::warn, "SHA-2");
}

TEST_CASE("machine, processor: a quota of this cgroup or one above it counts") {
  Scene scene;
  scene.put("root/sys/fs/cgroup/cpu.max", "50000 100000\n");
  scene.put("root/sys/fs/cgroup/service/cpu.max", "max 100000\n");
  const auto found = scene.look("machine", "processor");
  CHECK_FINDING(found, Outcome::warn, "allows 0.50 of them");
  CHECK(found.advice.find("threads to 1") != std::string::npos);
  scene.put("root/sys/fs/cgroup/service/cpu.max", "5000 100000\n");
  CHECK_FINDING(scene.look("machine", "processor"), Outcome::fail, "allows 0.05 of them");
}

TEST_CASE("machine, processor: more threads than there are processors") {
  Scene scene;
  scene.configure(R"({"models": [], "llama_server": {"threads": 4096}})");
  CHECK_FINDING(scene.look("machine", "processor"), Outcome::warn, "threads is 4096");
}

TEST_CASE("machine, graphics: a card that is asked for has to be there, and one that is there can be used") {
  const std::string wants = R"({"models": [], "llama_server": {"gpu_layers": 99}})";
  Scene scene;
  CHECK_FINDING(scene.look("machine", "graphics"), Outcome::skip, "none is asked for");
  scene.configure(wants);
  CHECK_FINDING(scene.look("machine", "graphics"), Outcome::fail, "no card is there");
  scene.put("root/dev/dri/renderD128", "");
  CHECK_FINDING(scene.look("machine", "graphics"), Outcome::ok, "renderD128");
  scene.configure(R"({"models": []})");
  CHECK_FINDING(scene.look("machine", "graphics"), Outcome::warn, "gpu_layers is 0");
}

TEST_CASE("machine, graphics: a card that may not be opened") {
  Scene scene;
  scene.make_folder("root/dev/dri", 0755);
  scene.put("root/dev/nvidia0", "", 0);
  Subject subject = scene.subject();
  chmod((scene / "config.json").c_str(), 0644);
  const WithoutRights without_rights;
  CHECK_FINDING(check_of(examine(subject), "machine", "graphics"), Outcome::warn, "may not be opened");
  const auto config = config::parse_config(R"({"models": [], "llama_server": {"gpu_layers": 99}})");
  REQUIRE(config);
  subject.running = *config;
  subject.places.config = scene / "missing.json";
  CHECK_FINDING(check_of(examine(subject), "machine", "graphics"), Outcome::fail, "may not be opened");
}

TEST_CASE("machine, kernel: what older ones lack") {
  Scene scene;
  CHECK_FINDING(scene.look("machine", "kernel"), Outcome::ok, "fs-verity not known");
  scene.put("root/sys/fs/ext4/features/verity", "supported\n");
  CHECK_FINDING(scene.look("machine", "kernel"), Outcome::ok, "fs-verity known");
  scene.put("root/proc/sys/kernel/osrelease", "5.10.0-28-amd64\n");
  CHECK_FINDING(scene.look("machine", "kernel"), Outcome::warn, "5.10.0-28-amd64");
  scene.put("root/proc/sys/kernel/osrelease", "4.19.0\n");
  CHECK_FINDING(scene.look("machine", "kernel"), Outcome::fail, "no pidfds");
}

TEST_CASE("machine, open files: enough for the subscribers, and for the bring-up") {
  Scene scene;
  CHECK_FINDING(scene.look("machine", "open files"), Outcome::ok, "1048576 at most");
  scene.set_limits("unlimited", "4096");
  CHECK_FINDING(scene.look("machine", "open files"), Outcome::warn, "fewer can be connected");
  scene.set_limits("unlimited", "128");
  CHECK_FINDING(scene.look("machine", "open files"), Outcome::fail, "128 at most");
}

}  // namespace
}  // namespace ggufd::doctor::test
