#include "store/collection.h"

#include "support.h"

namespace ggufd::store {
namespace {

using namespace test;

Collection listed(const Blobs& blobs) {
  auto collection = list_store(blobs.store);
  REQUIRE(collection);
  return std::move(*collection);
}

TEST_CASE("a store that does not exist is an empty one, and is not made") {
  const Blobs blobs;
  const Collection collection = listed(blobs);
  CHECK(collection.models.empty());
  CHECK(collection.problems.empty());
  CHECK_FALSE(exists(blobs.store.root()));
}

TEST_CASE("a model is listed with what would hold if it were loaded now") {
  const Blobs blobs;
  const Digest digest = blobs.add("weights");
  blobs.name("m", {digest});
  Collection collection = listed(blobs);
  REQUIRE(collection.models.size() == 1);
  const ListedModel& model = collection.models.front();
  CHECK(model.name == "m");
  CHECK(model.shards == std::vector{digest});
  CHECK(model.size_bytes == 7);
  CHECK(model.is_complete);
  CHECK_FALSE(model.needs_hash);
  CHECK(model.verified_at.has_value());
  CHECK(model.path == blobs.store.blob_path(digest));
  CHECK(collection.orphans.empty());
  std::filesystem::remove(blobs.store.blob_folder(digest) + "/verified.json");
  collection = listed(blobs);
  CHECK(collection.models.front().needs_hash);
  CHECK_FALSE(collection.models.front().verified_at);
}

TEST_CASE("a model that is its owner's local file is told from one whose blob is missing") {
  const Blobs blobs;
  Manifest manifest{.name = "m",
                    .blob = "sha256:" + sha256_of("weights")->to_hex(),
                    .size_bytes = 7,
                    .source = {"file", "", "", "/a/m.gguf"},
                    .produced_by = "ggufd 1",
                    .produced_at = "2026-05-18T00:00:00Z"};
  REQUIRE(write_manifest(blobs.store.root(), manifest));
  ListedModel model = listed(blobs).models.front();
  CHECK(model.is_in_place);
  CHECK_FALSE(model.is_complete);
  CHECK(model.path == "/a/m.gguf");
  CHECK(model.size_bytes == 7);
  manifest.produced_by = "ggufctl 1";  // an import, whose blob has gone
  REQUIRE(write_manifest(blobs.store.root(), manifest));
  CHECK_FALSE(listed(blobs).models.front().is_in_place);
}

TEST_CASE("a split model is one; its oldest and weakest blob counts") {
  const Blobs blobs;
  const Digest one = blobs.add("one");
  const Digest two = blobs.add("three");
  blobs.name("m", {one, two});
  CHECK(listed(blobs).models.front().size_bytes == 8);
  const auto first = blobs.store.find(one);
  CHECK(listed(blobs).models.front().verified_at == (*first)->verified_at);
  std::filesystem::remove(blobs.store.blob_folder(two) + "/verified.json");
  CHECK(listed(blobs).models.front().needs_hash);
  std::filesystem::remove(blobs.store.blob_path(two));
  const Collection collection = listed(blobs);
  CHECK_FALSE(collection.models.front().is_complete);
  CHECK(collection.orphans.empty());
}

TEST_CASE("models stand in the order of their names") {
  const Blobs blobs;
  const Digest digest = blobs.add("weights");
  for (const char* name : {"b", "a-b", "a"}) blobs.name(name, {digest});
  const Collection collection = listed(blobs);
  REQUIRE(collection.models.size() == 3);
  CHECK(collection.models[0].name == "a");
  CHECK(collection.models[1].name == "a-b");
  CHECK(collection.models[2].name == "b");
}

TEST_CASE("a blob that no manifest names is an orphan, and whether it is in use is told") {
  const Blobs blobs;
  const Digest digest = blobs.add("weights");
  auto mine = blobs.store.find(digest);
  Collection collection = listed(blobs);
  REQUIRE(collection.orphans.size() == 1);
  CHECK(collection.orphans.front().digest == digest);
  CHECK(collection.orphans.front().size_bytes == 7);
  CHECK(collection.orphans.front().is_in_use);
  mine->reset();
  CHECK_FALSE(listed(blobs).orphans.front().is_in_use);
}

TEST_CASE("looking does not keep anybody from taking a lock") {
  const Blobs blobs;
  const Digest digest = blobs.add("weights");
  const auto other = open_file(blobs.store.blob_path(digest), O_RDONLY);
  listed(blobs);
  CHECK(try_lock(other->get(), "data") == true);
}

TEST_CASE("a partial is listed with what it takes on the disk and where it comes from") {
  const Blobs blobs;
  const Digest key = digest_of("x");
  {
    const Partial partial = partial_with(blobs.store, key, std::string(8192, 'x'));
    REQUIRE(::ftruncate(partial.fd(), 1 << 30) == 0);
    put(partial.journal_path(), "{\"url\":\"https://example.org/w.gguf\",\"more\":1}");
    CHECK(listed(blobs).partials.front().is_in_use);
  }
  Collection collection = listed(blobs);
  REQUIRE(collection.partials.size() == 1);
  const ListedPartial& partial = collection.partials.front();
  CHECK(partial.key == key);
  CHECK(partial.path == blobs.store.partial_folder(key));
  CHECK(partial.source_url == "https://example.org/w.gguf");
  CHECK(partial.size_bytes >= 8192);
  CHECK(partial.size_bytes < (1 << 20));
  CHECK_FALSE(partial.is_in_use);
  put(blobs.store.partial_folder(key) + "/journal.json", "{");
  CHECK(listed(blobs).partials.front().source_url == "");
}

TEST_CASE("quarantined files are listed with their evidence, or without") {
  const Blobs blobs;
  const Digest key = digest_of("x");
  const QuarantineEvidence evidence{.url = "", .reason = "sha256_mismatch", .expected = "a", .actual = "b"};
  const auto path = blobs.store.quarantine(partial_with(blobs.store, key, "bad"), evidence);
  REQUIRE(path);
  put(blobs.store.quarantine_folder() + "/strange.bin", "no evidence");
  const Collection collection = listed(blobs);
  REQUIRE(collection.quarantine.size() == 2);
  CHECK(collection.quarantine[0].path == *path);
  CHECK(collection.quarantine[0].record->expected == "a");
  CHECK(collection.quarantine[0].put_away_at == collection.quarantine[0].record->when);
  CHECK_FALSE(collection.quarantine[1].record);
  CHECK(collection.quarantine[1].size_bytes == 11);
}

TEST_CASE("a manifest that cannot be read is a problem, and its blob may be among the orphans") {
  const Blobs blobs;
  blobs.name("m", {blobs.add("weights")});
  put(blobs.store.manifest_path("m"), "{");
  const Collection collection = listed(blobs);
  CHECK_FALSE(collection.are_manifests_known);
  REQUIRE(collection.problems.size() == 1);
  CHECK(contains(collection.problems.front(), blobs.store.manifest_path("m")));
  CHECK(collection.orphans.size() == 1);
}

TEST_CASE("what crashes leave behind is told") {
  const Blobs blobs;
  const Digest one = blobs.add("one");
  blobs.name("m", {one});
  const std::string temporary = ".x.json.0123456789abcdef";
  put(blobs.store.root() + "/manifests/" + temporary, "{");
  put(blobs.store.blob_folder(one) + "/.verified.json.0123456789abcdef", "{");
  std::filesystem::create_directory(blobs.store.blob_folder(digest_of("two"))
                                        .substr(0, blobs.store.blob_folder(digest_of("two")).rfind('/')));
  std::filesystem::create_directory(blobs.store.blob_folder(digest_of("two")));
  const Collection collection = listed(blobs);
  REQUIRE(collection.leftovers.size() == 3);
  CHECK(contains(collection.leftovers[0].path, temporary));
  CHECK(collection.problems.empty());
}

TEST_CASE("other programs' files in the store are left alone") {
  const Blobs blobs;
  blobs.name("m", {blobs.add("weights")});
  const std::string root = blobs.store.root();
  put(root + "/README", "x");
  put(root + "/blobs/sha256/zz", "x");
  put(root + "/manifests/notes.txt", "x");
  put(root + "/manifests/.hidden.json", "x");
  std::filesystem::create_directory(root + "/blobs/sha256/ab");
  put(root + "/blobs/sha256/ab/" + std::string(64, 'A'), "x");
  put(root + "/blobs/sha256/ab/.partial-x", "x");
  const Collection collection = listed(blobs);
  CHECK(collection.models.size() == 1);
  CHECK(collection.orphans.empty());
  CHECK(collection.partials.empty());
  CHECK(collection.leftovers.empty());
  CHECK(collection.problems.empty());
}

TEST_CASE("folders that are links are not entered") {
  const Blobs blobs;
  blobs.name("m", {blobs.add("weights")});
  const std::string root = blobs.store.root();
  const std::string hex = "ab" + std::string(62, '0');
  std::filesystem::create_directory(root + "/blobs/sha256/ab");
  std::filesystem::create_symlink(root + "/blobs", root + "/blobs/sha256/ab/" + hex);
  std::filesystem::create_symlink("cd", root + "/blobs/sha256/cd");
  const Collection collection = listed(blobs);
  CHECK(collection.orphans.empty());
  CHECK(collection.problems.size() == 2);
}

}  // namespace
}  // namespace ggufd::store
