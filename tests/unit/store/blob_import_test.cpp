#include "store/blob_import.h"

#include "support.h"

namespace ggufd::store {
namespace {

using namespace test;

const std::string gguf = std::string("GGUF\x03\0\0\0", 8) + "and then what it may be";

bool go_on(std::uint64_t) {
  return true;
}

struct Scene {
  Blobs blobs;
  const BlobStore& store = blobs.store;
  std::string path = blobs.folder / "w.gguf";

  explicit Scene(const std::string& content = gguf) { put(path, content); }
  Result<ImportedBlob> import(std::optional<Digest> claimed = std::nullopt) const {
    return import_blob(store, path, claimed, gguf.size(), go_on);
  }
  bool has_partials() const {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(store.root())) {
      if (entry.path().filename().string().starts_with(".partial-")) return true;
    }
    return false;
  }
};

TEST_CASE("an imported file is a verified blob, and stays where it was") {
  const Scene scene;
  const auto imported = scene.import();
  REQUIRE(imported);
  CHECK(imported->digest == digest_of(gguf));
  CHECK_FALSE(imported->was_there);
  CHECK(read_fd(imported->blob.fd.get()) == gguf);
  CHECK_FALSE(scene.store.find(imported->digest)->value().needs_hash);
  CHECK(get(scene.path) == gguf);
  CHECK_FALSE(scene.has_partials());
}

TEST_CASE("what the store has is not copied again") {
  const Scene scene;
  REQUIRE(scene.import());
  const auto unclaimed = scene.import();
  REQUIRE(unclaimed);
  CHECK(unclaimed->was_there);
  std::uint64_t read_bytes = 0;
  const auto claimed = import_blob(scene.store, scene.path, digest_of(gguf), 0, [&](std::uint64_t bytes) {
    read_bytes = bytes;
    return true;
  });
  REQUIRE(claimed);
  CHECK(claimed->was_there);
  CHECK(read_bytes == 0);
  CHECK_FALSE(scene.has_partials());
}

TEST_CASE("a digest that the name claims and the bytes do not have is an error, and nothing is kept") {
  const Scene scene;
  const auto imported = scene.import(digest_of("another"));
  REQUIRE_FALSE(imported);
  CHECK(imported.error().code == ErrorCode::sha256_mismatch);
  CHECK(contains(imported.error().message, digest_of(gguf).to_hex()));
  CHECK_FALSE(scene.store.find(digest_of("another"))->has_value());
  CHECK_FALSE(scene.store.find(digest_of(gguf))->has_value());
  CHECK_FALSE(scene.has_partials());
}

TEST_CASE("what does not begin as a GGUF of a version that we know is refused before it is copied") {
  const auto code_of = [](const std::string& content) {
    const Scene scene(content);
    const auto imported = scene.import();
    REQUIRE_FALSE(imported);
    CHECK_FALSE(exists(scene.store.root()));
    return imported.error().code;
  };
  CHECK(code_of("<html>") == ErrorCode::invalid_gguf);
  CHECK(code_of("GGUF") == ErrorCode::invalid_gguf);
  CHECK(code_of("") == ErrorCode::invalid_gguf);
  CHECK(code_of(std::string("GGUF\x01\0\0\0", 8)) == ErrorCode::unsupported_gguf);
  CHECK(code_of(std::string("GGUF\x04\0\0\0", 8)) == ErrorCode::unsupported_gguf);
  CHECK(code_of(std::string("GGUF\0\0\0\x03", 8)) == ErrorCode::unsupported_gguf);
}

TEST_CASE("a file that is not there, a folder, a pipe or a link is refused") {
  const Scene scene;
  std::filesystem::remove(scene.path);
  CHECK(scene.import().error().code == ErrorCode::bad_source);
  std::filesystem::create_directory(scene.path);
  CHECK(scene.import().error().code == ErrorCode::bad_source);
  std::filesystem::remove(scene.path);
  REQUIRE(::mkfifo(scene.path.c_str(), 0600) == 0);
  CHECK(scene.import().error().code == ErrorCode::bad_source);
  std::filesystem::remove(scene.path);
  std::filesystem::create_symlink("/etc/hostname", scene.path);
  CHECK(scene.import().error().code == ErrorCode::bad_source);
}

TEST_CASE("an import that is ended leaves a partial, which the next one begins anew") {
  const Scene scene;
  const auto ended =
      import_blob(scene.store, scene.path, std::nullopt, 0, [](std::uint64_t) { return false; });
  REQUIRE_FALSE(ended);
  CHECK(ended.error().code == ErrorCode::cancelled);
  CHECK(scene.has_partials());
  CHECK_FALSE(scene.store.find(digest_of(gguf))->has_value());
  const std::string shorter = gguf.substr(0, 10);
  put(scene.path, shorter);
  const auto imported = scene.import();
  REQUIRE(imported);
  CHECK(imported->digest == digest_of(shorter));
  CHECK_FALSE(scene.has_partials());
}

TEST_CASE("a file is imported by one at a time") {
  const Scene scene;
  Result<ImportedBlob> second = fail(ErrorCode::internal, "");
  REQUIRE(import_blob(scene.store, scene.path, std::nullopt, 0, [&](std::uint64_t) {
    second = scene.import();
    return true;
  }));
  REQUIRE_FALSE(second);
  CHECK(second.error().code == ErrorCode::busy);
}

TEST_CASE("a file that changes while it is imported is an error") {
  const Scene scene;
  const auto imported = import_blob(scene.store, scene.path, std::nullopt, 0, [&](std::uint64_t) {
    put(scene.path, gguf + "more");
    return true;
  });
  REQUIRE_FALSE(imported);
  CHECK(imported.error().code == ErrorCode::io);
  CHECK(contains(imported.error().message, "changed while"));
}

TEST_CASE("a blob of that digest whose stamp does not hold is written anew") {
  const Scene scene;
  REQUIRE(scene.import());
  std::filesystem::remove(scene.store.blob_folder(digest_of(gguf)) + "/verified.json");
  const auto imported = scene.import(digest_of(gguf));
  REQUIRE(imported);
  CHECK_FALSE(imported->was_there);
  CHECK_FALSE(scene.store.find(digest_of(gguf))->value().needs_hash);
}

TEST_CASE("room is asked for where the store is, or will be") {
  TempFolder folder;
  CHECK(check_room(folder / "not/there/yet", 1));
  const auto room = check_room(folder / "not/there/yet", std::uint64_t{1} << 60);
  REQUIRE_FALSE(room);
  CHECK(room.error().code == ErrorCode::disk_full);
  CHECK(contains(room.error().message, "1152921504606846976 bytes are needed"));
  CHECK(contains(room.error().message, folder / "not/there/yet"));
}

TEST_CASE("where the disk has no room nothing is begun") {
  const Scene scene;
  const auto imported = import_blob(scene.store, scene.path, std::nullopt, std::uint64_t{1} << 60, go_on);
  // Where extents can be shared no room is needed.
  if (!imported) {
    CHECK(imported.error().code == ErrorCode::disk_full);
    CHECK_FALSE(scene.has_partials());
  }
}

}  // namespace
}  // namespace ggufd::store
