#include <linux/magic.h>

#include "doctor/store_folder.h"
#include "support.h"

namespace ggufd::doctor::test {
namespace {

constexpr std::int64_t day_ms = 86'400'000;
const std::string network_model =
    R"("source": "https://example.org/m.gguf", "size_bytes": 1000, "sha256": ")";

std::string zeros() {
  return std::string(64, '0') + "\"";
}

answer::Check judged(const std::function<void(Group&)>& judge) {
  answer::Doctor report;
  Group group(report, "store");
  judge(group);
  REQUIRE(report.checks.size() == 1);
  return report.checks.front();
}

TEST_CASE("store, folder: one that is not there yet is made") {
  Scene scene;
  std::filesystem::remove(scene / "store");
  CHECK_FINDING(scene.look("store", "folder"), Outcome::ok, "the first download makes it");
}

TEST_CASE("store, folder: one that cannot be made, or is a file, fails") {
  Scene scene;
  Subject subject = scene.subject();
  subject.places.store = scene / "config.json/store";
  CHECK_FINDING(check_of(examine(subject), "store", "folder"), Outcome::fail, "cannot be made");
  subject.places.store = scene / "config.json";
  CHECK_FINDING(check_of(examine(subject), "store", "folder"), Outcome::fail, "no folder");
}

TEST_CASE("store, folder: one behind a link that leads nowhere fails") {
  Scene scene;
  std::filesystem::create_symlink(scene / "not mounted", scene / "disk");
  Subject subject = scene.subject();
  for (const char* name : {"disk", "disk/models"}) {
    CAPTURE(name);
    subject.places.store = scene / name;
    CHECK_FINDING(check_of(examine(subject), "store", "folder"), Outcome::fail,
                  (scene / "disk") + " is a link to a place that is not there");
  }
}

TEST_CASE("store, folder: what others may write is not believed") {
  Scene scene;
  scene.make_folder("store", 0777);
  CHECK_FINDING(scene.look("store", "folder"), Outcome::warn, "hashes every model again");
}

TEST_CASE("store, folder: read-only is enough where nothing has to be fetched") {
  Scene scene;
  Subject subject = scene.subject();
  const WithoutRights without_rights;
  if (geteuid() != 65534) chmod((scene / "store").c_str(), 0555);
  // Only its root counts here: this user may not even read the configuration.
  answer::Doctor report;
  Group group(report, "store");
  check_store_folder(scene / "store", false, group);
  CHECK_FINDING(report.checks.at(0), Outcome::warn, "only be read");
  check_store_folder(scene / "store", true, group);
  CHECK_FINDING(report.checks.at(1), Outcome::fail, "have to be fetched");
}

TEST_CASE("store: links within it are not followed") {
  Scene scene;
  scene.make_folder("elsewhere", 0755);
  std::filesystem::create_symlink(scene / "elsewhere", scene / "store/blobs");
  CHECK_FINDING(scene.look("store", "blobs"), Outcome::fail, "symbolic link");
}

TEST_CASE("store, file system: networks and memory are warned of") {
  CHECK_FINDING(judged([](Group& g) { judge_file_system(EXT4_SUPER_MAGIC, g); }), Outcome::ok,
                "this machine");
  CHECK_FINDING(judged([](Group& g) { judge_file_system(NFS_SUPER_MAGIC, g); }), Outcome::warn, "network");
  CHECK_FINDING(judged([](Group& g) { judge_file_system(TMPFS_MAGIC, g); }), Outcome::warn, "in memory");
  CHECK_FINDING(judged([](Group& g) { judge_file_system(ISOFS_SUPER_MAGIC, g); }), Outcome::fail,
                "nothing can be");
  CHECK(file_system_magic("/proc/self").value() == PROC_SUPER_MAGIC);
}

TEST_CASE("store, space: what is still to be fetched has to fit") {
  constexpr std::uint64_t gib = std::uint64_t{1} << 30;
  const ToFetch two{.models = 2, .bytes = 10 * gib};
  CHECK_FINDING(judged([&](Group& g) { judge_space(two, 100 * gib, g); }), Outcome::ok, "2 models");
  CHECK_FINDING(judged([&](Group& g) { judge_space(two, 10 * gib + 5, g); }), Outcome::warn, "is left then");
  CHECK_FINDING(judged([&](Group& g) { judge_space(two, 9 * gib, g); }), Outcome::fail, "9.00 GiB free");
  const ToFetch begun{.models = 1, .bytes = 10 * gib, .reserved_bytes = 8 * gib};
  CHECK_FINDING(judged([&](Group& g) { judge_space(begun, 4 * gib, g); }), Outcome::ok,
                "10.00 GiB of 1 model still to be fetched, 8.00 GiB of it in room");
  CHECK_FINDING(judged([&](Group& g) { judge_space(begun, gib, g); }), Outcome::fail, "1.00 GiB free");
  const ToFetch unknown{.models = 1, .models_of_unknown_size = 1};
  CHECK_FINDING(judged([&](Group& g) { judge_space(unknown, 9 * gib, g); }), Outcome::ok, "is not known");
}

TEST_CASE("store, space: a model's bytes count until they are here") {
  Scene scene;
  scene.configure_model(
      R"("source": "https://example.org/m.gguf", "size_bytes": 1125899906842624, "sha256": ")" + zeros());
  CHECK_FINDING(scene.look("store", "space"), Outcome::fail, "still to be fetched");
}

TEST_CASE("store, contents: what cannot be read is told") {
  Scene scene;
  CHECK_FINDING(scene.look("store", "contents"), Outcome::ok, "can be read");
  scene.put("store/manifests/m.json", "{");
  CHECK_FINDING(scene.look("store", "contents"), Outcome::fail, "m.json");
  std::filesystem::remove(scene / "store/manifests/m.json");
  scene.put("store/locks/quarantine", "");
  CHECK_FINDING(scene.look("store", "contents"), Outcome::warn, "quarantine");
}

TEST_CASE("store, partials: old ones are warned of, a journal that is there and cannot be read fails") {
  Scene scene;
  CHECK_FINDING(scene.look("store", "partials"), Outcome::ok, "no download");
  const std::string folder = "store/blobs/sha256/00/.partial-" + std::string(64, '0');
  scene.put(folder + "/data.tmp", "some bytes");
  scene.put(folder + "/journal.json", "{");
  CHECK_FINDING(scene.look("store", "partials"), Outcome::fail, "1 with a journal that cannot be read");
  // Stopped before its first entry: that is no damage.
  std::filesystem::remove(scene / (folder + "/journal.json"));
  CHECK_FINDING(scene.look("store", "partials"), Outcome::ok, "1 unfinished download");
  Subject subject = scene.subject();
  subject.now.ms += 8 * day_ms;
  CHECK_FINDING(check_of(examine(subject), "store", "partials"), Outcome::warn, "8 days ago");
}

TEST_CASE("store, quarantine: how much, why, and whether a model waits for it") {
  Scene scene;
  CHECK_FINDING(scene.look("store", "quarantine"), Outcome::ok, "nothing was refused");
  const std::string evidence =
      R"({"url": "https://example.org/m.gguf", "reason": "sha256_mismatch", "expected": ")" + zeros() +
      R"(, "actual": "1111", "size": 3, "when": "2026-05-18T00:00:00.000Z"})";
  scene.put("store/locks/quarantine/20260518T000000Z-sha256_mismatch.bin", "bad");
  scene.put("store/locks/quarantine/20260518T000000Z-sha256_mismatch.json", evidence);
  CHECK_FINDING(scene.look("store", "quarantine"), Outcome::warn, "sha256_mismatch");
  scene.configure_model(network_model + zeros());
  CHECK_FINDING(scene.look("store", "quarantine"), Outcome::fail, "https://example.org/m.gguf served 1111");
}

}  // namespace
}  // namespace ggufd::doctor::test
