#include <fcntl.h>

#include "support.h"

namespace ggufd::doctor::test {
namespace {

std::string network_keys(const std::string& sha256, const std::string& more = "") {
  return R"("source": "https://example.org/m.gguf", "sha256": ")" + sha256 + "\"" + more;
}

TEST_CASE("models: a verified blob is ok, with what holds of it") {
  Scene scene;
  scene.configure_model(network_keys(scene.add_blob("some bytes").to_hex(), R"(, "size_bytes": 10)"));
  CHECK_FINDING(scene.look("models", "m"), Outcome::ok, "verified just now");
}

TEST_CASE("models: one that is not here is fetched when it is loaded, or never") {
  Scene scene;
  const std::string keys = network_keys(std::string(64, '0'), R"(, "size_bytes": 1000)");
  scene.configure_model(keys);
  CHECK_FINDING(scene.look("models", "m"), Outcome::warn, "fetched when it is loaded");
  scene.configure_model(keys, R"("auto_pull": false)");
  CHECK_FINDING(scene.look("models", "m"), Outcome::fail, "auto_pull is false");
}

TEST_CASE("models: what has arrived of a download is told") {
  Scene scene;
  scene.configure_model(network_keys(std::string(64, '0'), R"(, "size_bytes": 100000)"));
  const std::string folder = "store/blobs/sha256/00/.partial-" + std::string(64, '0');
  // As long as the model from the start: the room is reserved.
  scene.put(folder + "/data.tmp", std::string(100000, 'x'));
  CHECK(scene.look("models", "m").found == "not in the store; it is fetched when it is loaded");
  scene.put(
      folder + "/journal.json",
      R"({"schema_version": 1, "url": "https://example.org/m.gguf", "revision": "", "size_bytes": 100000,
                "finished": [{"begin": 0, "end": 8000}, {"begin": 10000, "end": 10192}]})");
  CHECK_FINDING(scene.look("models", "m"), Outcome::warn, "8192 B have arrived");
  const answer::Check space = scene.look("store", "space");
  CHECK(space.found.find("91808 B of 1 model still to be fetched") != std::string::npos);
  CHECK(space.found.find("of it in room that is reserved already") != std::string::npos);
}

TEST_CASE("models: a blob whose stamp does not fit is hashed again") {
  Scene scene;
  const auto digest = scene.add_blob("some bytes");
  scene.configure_model(network_keys(digest.to_hex()));
  std::filesystem::remove(scene.store().blob_folder(digest) + "/verified.json");
  CHECK_FINDING(scene.look("models", "m"), Outcome::warn, "hashed again");
}

TEST_CASE("models: a size that is not the configured one fails") {
  Scene scene;
  scene.configure_model(network_keys(scene.add_blob("some bytes").to_hex(), R"(, "size_bytes": 11)"));
  CHECK_FINDING(scene.look("models", "m"), Outcome::fail, "size_bytes says 11");
}

TEST_CASE("models: a manifest that cannot be read fails where it has to tell the digest") {
  Scene scene;
  scene.configure_model(R"("source": "https://example.org/m.gguf", "pin": "first-use")");
  scene.put("store/manifests/m.json", "{");
  CHECK_FINDING(scene.look("models", "m"), Outcome::fail, "m.json");
}

TEST_CASE("models: local files are used in place") {
  Scene scene;
  const std::string path = scene / "m.gguf";
  scene.configure_model(fmt::format(R"("source": "{}", "size_bytes": 10)", path));
  CHECK_FINDING(scene.look("models", "m"), Outcome::fail, "m.gguf");
  scene.put("m.gguf", "some bytes");
  CHECK_FINDING(scene.look("models", "m"), Outcome::warn, "hashed at the next load");
  scene.put("m.gguf", "other bytes");
  CHECK_FINDING(scene.look("models", "m"), Outcome::fail, "size_bytes says 10");
  std::filesystem::remove(path);
  scene.make_folder("m.gguf", 0700);
  CHECK_FINDING(scene.look("models", "m"), Outcome::fail, "no regular file");
}

TEST_CASE("models: a local file's stamp is compared with the configured digest") {
  Scene scene;
  scene.put("m.gguf", "some bytes");
  const std::string path = scene / "m.gguf";
  // So long ago that a change since would show.
  const timespec old[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  REQUIRE(utimensat(AT_FDCWD, path.c_str(), old, 0) == 0);
  const store::UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  auto before = store::before_hash(file.get(), path);
  REQUIRE(before);
  // The change time can't be set back; the moment at which it was looked at can be moved on.
  before->taken_at_ns += 10'000'000'000;
  const auto digest = store::sha256_of("some bytes");
  REQUIRE(scene.store().write_local_stamp(file.get(), path, *digest, *before).value());
  scene.configure_model(fmt::format(R"("source": "{}", "sha256": "{}")", path, digest->to_hex()));
  CHECK_FINDING(scene.look("models", "m"), Outcome::ok, "used in place");
  scene.configure_model(fmt::format(R"("source": "{}", "sha256": "{}")", path, std::string(64, '0')));
  CHECK_FINDING(scene.look("models", "m"), Outcome::fail, "sha256 says 000");
  const std::string pinned = fmt::format(R"("source": "{}", "pin": "first-use")", path);
  scene.configure_model(pinned);
  CHECK_FINDING(scene.look("models", "m"), Outcome::ok, "used in place");
  store::Manifest manifest{.name = "m",
                           .blob = "sha256:" + std::string(64, '0'),
                           .size_bytes = 10,
                           .source = {"file", "", "", path},
                           .produced_by = "ggufd 1",
                           .produced_at = "2026-05-18T00:00:00Z"};
  REQUIRE(store::write_manifest(scene.store().root(), manifest));
  CHECK_FINDING(scene.look("models", "m"), Outcome::fail, "its manifest (pin first-use) says 000");
  manifest.blob = "sha256:" + digest->to_hex();
  REQUIRE(store::write_manifest(scene.store().root(), manifest));
  CHECK_FINDING(scene.look("models", "m"), Outcome::ok, "used in place");
}

}  // namespace
}  // namespace ggufd::doctor::test
