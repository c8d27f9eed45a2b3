#include "store/quarantine.h"

#include <regex>

#include "store/json_file.h"
#include "support.h"

namespace ggufd::store {
namespace {

using namespace test;

const QuarantineEvidence evidence{.url = "https://example.org/w.gguf",
                                  .reason = "sha256_mismatch",
                                  .expected = std::string(64, 'a'),
                                  .actual = std::string(64, 'b')};
constexpr Timestamp midnight{1'779'062'400'000};  // 2026-05-18T00:00:00Z

std::string json_of(const std::string& bin) {
  return bin.substr(0, bin.size() - 4) + ".json";
}

QuarantineRecord record_of(const std::string& bin) {
  auto record = parse_json_file<QuarantineRecord>(get(json_of(bin)), json_of(bin));
  REQUIRE(record);
  return *record;
}

// A folder with files to put away, and a quarantine.
struct Scene {
  TempFolder folder;
  Folder from = *make_store_folder(folder.path(), {"from"});
  Folder quarantine = *make_store_folder(folder.path(), {"quarantine"});

  Result<std::string> put_away(const std::string& content, const QuarantineEvidence& why = evidence) {
    put(from.path_of("bad"), content);
    const auto fd = open_file(from.path_of("bad"), O_RDONLY);
    REQUIRE(fd);
    return move_to_quarantine(quarantine, from, "bad", fd->get(), why, midnight);
  }
};

TEST_CASE("a file is put away under its time and reason, with the evidence beside it") {
  Scene scene;
  const auto path = scene.put_away("bad bytes");
  REQUIRE(path);
  CHECK(*path == scene.quarantine.path + "/20260518T000000Z-sha256_mismatch.bin");
  CHECK(get(*path) == "bad bytes");
  CHECK_FALSE(exists(scene.from.path_of("bad")));
  CHECK(record_of(*path) == QuarantineRecord{.url = evidence.url,
                                             .reason = evidence.reason,
                                             .expected = evidence.expected,
                                             .actual = evidence.actual,
                                             .size = 9,
                                             .when = midnight,
                                             .differing_ranges = std::vector<DifferingRange>{}});
  CHECK(get(json_of(*path)).find("\"when\":\"2026-05-18T00:00:00.000Z\"") != std::string::npos);
}

TEST_CASE("the evidence names the ranges that differed") {
  Scene scene;
  QuarantineEvidence compared = evidence;
  compared.differing_ranges = {{0, 4}, {8, 9}};
  const auto path = scene.put_away("bad bytes", compared);
  REQUIRE(path);
  CHECK(get(json_of(*path)).find("\"differing_ranges\":[{\"begin\":0,\"end\":4},{\"begin\":8,\"end\":9}]") !=
        std::string::npos);
  CHECK(record_of(*path).differing_ranges == compared.differing_ranges);
}

TEST_CASE("evidence from before there were ranges is read") {
  const std::string text =
      "{\"url\":\"\",\"reason\":\"sha256_mismatch\",\"expected\":\"a\",\"actual\":\"b\",\"size\":9,"
      "\"when\":\"2026-05-18T00:00:00.000Z\"}";
  const auto record = parse_json_file<QuarantineRecord>(text, "old.json");
  REQUIRE(record);
  CHECK(record->size == 9);
  CHECK_FALSE(record->differing_ranges);
}

TEST_CASE("files of the same second and reason are numbered") {
  Scene scene;
  const std::string base = scene.quarantine.path + "/20260518T000000Z-sha256_mismatch";
  CHECK(scene.put_away("one") == base + ".bin");
  CHECK(scene.put_away("two") == base + "-2.bin");
  CHECK(scene.put_away("three") == base + "-3.bin");
  CHECK(get(base + ".bin") == "one");
  CHECK(get(base + "-2.bin") == "two");
  CHECK(record_of(base + "-3.bin").size == 5);
}

TEST_CASE("neither a file nor evidence that stands alone is overwritten") {
  Scene scene;
  const std::string base = scene.quarantine.path + "/20260518T000000Z-sha256_mismatch";
  put(base + ".bin", "alone");
  put(base + "-2.json", "alone");
  CHECK(scene.put_away("new") == base + "-3.bin");
  CHECK(get(base + ".bin") == "alone");
  CHECK(get(base + "-2.json") == "alone");
  CHECK_FALSE(exists(base + ".json"));
  CHECK_FALSE(exists(base + "-2.bin"));
}

TEST_CASE("a reason cannot lead out of the folder") {
  Scene scene;
  const auto path = scene.put_away("x", {.url = "", .reason = "../../etc/a b", .expected = "", .actual = ""});
  CHECK(path == scene.quarantine.path + "/20260518T000000Z-------etc-a-b.bin");
  const auto nameless = scene.put_away("x", {.url = "", .reason = "", .expected = "", .actual = ""});
  CHECK(nameless == scene.quarantine.path + "/20260518T000000Z-unknown.bin");
  const auto endless =
      scene.put_away("x", {.url = "", .reason = std::string(999, 'r'), .expected = "", .actual = ""});
  REQUIRE(endless);
  CHECK(endless->ends_with("Z-" + std::string(64, 'r') + ".bin"));
}

TEST_CASE("a file that is not there leaves no evidence behind") {
  Scene scene;
  put(scene.folder / "other", "x");
  const auto fd = open_file(scene.folder / "other", O_RDONLY);
  CHECK_FALSE(move_to_quarantine(scene.quarantine, scene.from, "missing", fd->get(), evidence, midnight));
  CHECK(std::filesystem::is_empty(scene.quarantine.path));
}

TEST_CASE("a quarantine on another file system gets a copy, and the file goes") {
  Scene scene;
  struct stat here{};
  struct stat there{};
  REQUIRE(::stat(scene.folder.path().c_str(), &here) == 0);
  if (::stat("/dev/shm", &there) != 0 || ::access("/dev/shm", W_OK) != 0 || here.st_dev == there.st_dev) {
    MESSAGE("skipped: /dev/shm is not another file system that can be written");
    return;
  }
  TempFolder other("/dev/shm");
  scene.quarantine = *make_store_folder(other.path(), {"quarantine"});
  const std::string content = std::string(3 << 20, 'x') + "end";
  const auto path = scene.put_away(content);
  REQUIRE(path);
  CHECK(*path == other / "quarantine/20260518T000000Z-sha256_mismatch.bin");
  CHECK(get(*path) == content);
  CHECK(record_of(*path).size == content.size());
  CHECK_FALSE(exists(scene.from.path_of("bad")));
  CHECK(scene.put_away("two") == other / "quarantine/20260518T000000Z-sha256_mismatch-2.bin");
}

TEST_CASE("a partial is put away whole and its folder is gone") {
  TempFolder folder;
  const BlobStore store(folder / "models");
  const Digest key = digest_of("x");
  Partial partial = partial_with(store, key, "bad bytes");
  put(partial.journal_path(), "{}");
  const Timestamp before = Timestamp::now();
  const auto path = store.quarantine(std::move(partial), evidence);
  const Timestamp after = Timestamp::now();
  REQUIRE(path);
  CHECK(get(*path) == "bad bytes");
  CHECK(parent_of(*path) == store.quarantine_folder());
  CHECK(std::regex_match(path->substr(parent_of(*path).size() + 1),
                         std::regex("[0-9]{8}T[0-9]{6}Z-sha256_mismatch\\.bin")));
  CHECK(record_of(*path).when >= before);
  CHECK(record_of(*path).when <= after);
  CHECK_FALSE(exists(store.partial_folder(key)));
  CHECK(read_fd(store.open_partial(key)->fd()) == "");
}

TEST_CASE(
    "a finished blob is put away, with the source that its stamp knows; those who have it open keep it") {
  FilledStore filled;
  QuarantineEvidence scrubbed = evidence;
  scrubbed.url = "";
  const auto path = filled.store.quarantine_blob(filled.digest, scrubbed);
  REQUIRE(path);
  CHECK(get(*path) == filled.content);
  CHECK(record_of(*path).url == "https://example.org/w.gguf");
  CHECK_FALSE(exists(filled.store.blob_folder(filled.digest)));
  CHECK_FALSE(filled.store.find(filled.digest)->has_value());
  CHECK(read_fd(filled.committed.fd.get()) == filled.content);
  filled.commit();
  CHECK_FALSE(filled.found().needs_hash);
}

TEST_CASE("a blob that is not there cannot be put away") {
  FilledStore filled;
  const auto missing = filled.store.quarantine_blob(digest_of("another"), evidence);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ErrorCode::not_in_store);
  std::filesystem::remove(filled.store.blob_path(filled.digest));
  const auto removed = filled.store.quarantine_blob(filled.digest, evidence);
  REQUIRE_FALSE(removed);
  CHECK(removed.error().code == ErrorCode::not_in_store);
}

TEST_CASE("a blob whose quarantine fails is not believed any more") {
  FilledStore filled;
  std::filesystem::create_directories(filled.store.root() + "/locks");
  put(filled.store.quarantine_folder(), "in the way");
  CHECK_FALSE(filled.store.quarantine_blob(filled.digest, evidence));
  CHECK(filled.found().needs_hash);
}

}  // namespace
}  // namespace ggufd::store
