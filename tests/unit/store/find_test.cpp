#include "store/json_file.h"
#include "support.h"

namespace ggufd::store {
namespace {

using namespace test;

VerifiedRecord record_of(const FilledStore& filled) {
  auto record = parse_json_file<VerifiedRecord>(get(filled.record_path()), filled.record_path());
  REQUIRE(record);
  return *record;
}

TEST_CASE("the paths are those of the shared layout") {
  const BlobStore store("/models");
  const Digest digest = *Digest::parse("ab" + std::string(62, '0'));
  const std::string hex = digest.to_hex();
  CHECK(store.blob_path(digest) == "/models/blobs/sha256/ab/" + hex + "/data");
  CHECK(store.partial_folder(digest) == "/models/blobs/sha256/ab/.partial-" + hex);
  CHECK(store.manifest_path("qwen3-4b") == "/models/manifests/qwen3-4b.json");
  CHECK(store.quarantine_folder() == "/models/locks/quarantine");
}

TEST_CASE("a store that does not exist holds nothing and is not made by looking") {
  TempFolder folder;
  const BlobStore store(folder / "models");
  const auto blob = store.find(digest_of("x"));
  REQUIRE(blob);
  CHECK_FALSE(*blob);
  CHECK_FALSE(exists(folder / "models"));
}

TEST_CASE("a committed blob is found again and need not be hashed") {
  FilledStore filled;
  const FoundBlob blob = filled.found();
  CHECK_FALSE(blob.needs_hash);
  CHECK(blob.integrity != Integrity::hashed);
  CHECK(blob.reason == "");
  CHECK(blob.size_bytes == filled.content.size());
  CHECK(blob.path == filled.store.blob_path(filled.digest));
  CHECK(blob.verified_at == filled.committed.verified_at);
  CHECK(read_fd(blob.fd.get()) == filled.content);
  CHECK((::fcntl(blob.fd.get(), F_GETFL) & O_ACCMODE) == O_RDONLY);
  CHECK(::fcntl(blob.fd.get(), F_GETFD) == FD_CLOEXEC);
}

TEST_CASE("a blob folder without its data is no blob") {
  FilledStore filled;
  std::filesystem::remove(filled.store.blob_path(filled.digest));
  CHECK_FALSE(filled.store.find(filled.digest)->has_value());
}

// What somebody may do to the file, and how the stamp tells. A kernel with fs-verity on a file system that
// has it refuses the first two; then there is nothing to detect.
TEST_CASE("a changed byte is noticed, even when the old mtime is set again") {
  FilledStore filled;
  const std::string path = filled.store.blob_path(filled.digest);
  const StatStamp before = filled.committed.stat;
  REQUIRE(::chmod(path.c_str(), 0644) == 0);
  if (const auto writer = open_file(path, O_WRONLY)) {
    REQUIRE(pwrite_all(writer->get(), std::as_bytes(std::span(std::string_view("T"))), 0, path));
    const struct timespec old{before.mtime_ns / 1'000'000'000, before.mtime_ns % 1'000'000'000};
    const struct timespec times[2] = {old, old};
    REQUIRE(::futimens(writer->get(), times) == 0);
    REQUIRE(::fchmod(writer->get(), 0444) == 0);
    const FoundBlob blob = filled.found();
    CHECK(blob.stat.mtime_ns == before.mtime_ns);
    CHECK(blob.needs_hash);
    CHECK(blob.reason == "its ctime_ns is not the one that was verified");
    CHECK_FALSE(blob.verified_at);
  }
}

TEST_CASE("another size is noticed") {
  FilledStore filled;
  const std::string path = filled.store.blob_path(filled.digest);
  REQUIRE(::chmod(path.c_str(), 0644) == 0);
  if (open_file(path, O_WRONLY | O_APPEND)) {
    put(path, filled.content + "!");
    CHECK(filled.found().needs_hash);
    CHECK(filled.found().reason == "its size is not the one that was verified");
  }
}

TEST_CASE("another file in its place is noticed") {
  FilledStore filled;
  const std::string path = filled.store.blob_path(filled.digest);
  std::filesystem::copy_file(path, path + ".new");
  std::filesystem::rename(path + ".new", path);
  const FoundBlob blob = filled.found();
  CHECK(blob.needs_hash);
  CHECK(blob.reason == "its ino is not the one that was verified");
}

TEST_CASE("each field of the recorded stat counts") {
  FilledStore filled;
  const VerifiedRecord good = record_of(filled);
  const auto needs_hash_with = [&](auto change) {
    VerifiedRecord record = good;
    record.fs_verity.reset();
    change(record);
    put(filled.record_path(), to_json(record));
    return filled.found().needs_hash;
  };
  CHECK_FALSE(needs_hash_with([](VerifiedRecord&) {}));
  CHECK(needs_hash_with([](VerifiedRecord& record) { ++record.stat.dev; }));
  CHECK(needs_hash_with([](VerifiedRecord& record) { ++record.stat.ino; }));
  CHECK(needs_hash_with([](VerifiedRecord& record) { ++record.stat.size_bytes; }));
  CHECK(needs_hash_with([](VerifiedRecord& record) { --record.stat.mtime_ns; }));
  CHECK(needs_hash_with([](VerifiedRecord& record) { --record.stat.ctime_ns; }));
  CHECK(needs_hash_with(
      [](VerifiedRecord& record) { record.stat.btime_ns = record.stat.btime_ns.value_or(0) + 1; }));
  CHECK(needs_hash_with([](VerifiedRecord& record) { ++record.size_bytes; }));
  CHECK(needs_hash_with([](VerifiedRecord& record) { record.sha256[0] = 'x'; }));
  CHECK(needs_hash_with([](VerifiedRecord& record) { record.schema_version = 2; }));
}

TEST_CASE("a missing, malformed, oversized or linked stamp asks for a hash and is no error") {
  FilledStore filled;
  const std::string good = get(filled.record_path());
  const auto reason_with = [&](const std::string& content) {
    put(filled.record_path(), content);
    CHECK(filled.found().needs_hash);
    return filled.found().reason;
  };
  CHECK(reason_with("").find("not a JSON object") != std::string::npos);
  CHECK(reason_with("{\"schema_version\":1").find("not a JSON object") != std::string::npos);
  CHECK(reason_with("[1]").find("not a JSON object") != std::string::npos);
  CHECK(reason_with("{}").find("\"schema_version\" is missing") != std::string::npos);
  CHECK(reason_with("{\"schema_version\":\"1\"}").find("must be an integer") != std::string::npos);
  CHECK(reason_with(std::string(2 << 20, ' ') + good).find("bytes, more than") != std::string::npos);
  put(filled.record_path(), good);
  CHECK_FALSE(filled.found().needs_hash);
  std::filesystem::rename(filled.record_path(), filled.folder / "elsewhere.json");
  CHECK(filled.found().reason == "it has no stamp");
  std::filesystem::create_symlink(filled.folder / "elsewhere.json", filled.record_path());
  CHECK(filled.found().needs_hash);
  CHECK(filled.found().reason.find("symbolic link") != std::string::npos);
}

TEST_CASE("data that is a symbolic link, a folder or a pipe is refused") {
  FilledStore filled;
  const std::string path = filled.store.blob_path(filled.digest);
  std::filesystem::rename(path, filled.folder / "elsewhere");
  std::filesystem::create_symlink(filled.folder / "elsewhere", path);
  const auto linked = filled.store.find(filled.digest);
  REQUIRE_FALSE(linked);
  CHECK(linked.error().message.find(path) != std::string::npos);
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  CHECK_FALSE(filled.store.find(filled.digest));
  std::filesystem::remove(path);
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  CHECK_FALSE(filled.store.find(filled.digest));
}

TEST_CASE("a blob folder that is a symbolic link is refused") {
  FilledStore filled;
  const std::string path = filled.store.blob_folder(filled.digest);
  std::filesystem::rename(path, filled.folder / "elsewhere");
  std::filesystem::create_directory_symlink(filled.folder / "elsewhere", path);
  const auto linked = filled.store.find(filled.digest);
  REQUIRE_FALSE(linked);
  CHECK(linked.error().message.find("symbolic link") != std::string::npos);
}

TEST_CASE("what somebody else may write is never believed") {
  FilledStore filled;
  const std::string folder = filled.store.blob_folder(filled.digest);
  const auto reason_with = [&](const std::string& path, mode_t mode, mode_t usual) {
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    const FoundBlob blob = filled.found();
    CHECK(blob.needs_hash);
    REQUIRE(::chmod(path.c_str(), usual) == 0);
    return blob.reason;
  };
  CHECK(reason_with(filled.store.root(), 0775, 0755) == filled.store.root() + " may be written by its group");
  CHECK(reason_with(parent_of(folder), 0777, 0755) == parent_of(folder) + " may be written by its group");
  CHECK(reason_with(folder, 0757, 0755) == folder + " may be written by everyone");
  CHECK(reason_with(filled.record_path(), 0664, 0644) ==
        filled.record_path() + " may be written by its group");
  CHECK_FALSE(filled.found().needs_hash);
  CHECK(reason_with(folder + "/data", 0446, 0444) == folder + "/data may be written by everyone");
}

TEST_CASE("what belongs to somebody else is never believed") {
  if (!is_root()) {
    MESSAGE("skipped: only root can give a file away");
    return;
  }
  FilledStore filled;
  constexpr uid_t stranger = 4242;
  const std::string folder = filled.store.blob_folder(filled.digest);
  for (const std::string& path : {filled.store.root(), folder, filled.record_path(), folder + "/data"}) {
    CAPTURE(path);
    CHECK_FALSE(filled.found().needs_hash);
    REQUIRE(::chown(path.c_str(), stranger, stranger) == 0);
    CHECK(filled.found().needs_hash);
    CHECK(filled.found().reason == path + " belongs to user 4242");
    REQUIRE(::chown(path.c_str(), 0, 0) == 0);
  }
}

TEST_CASE("after a full hash the stamp is written anew, and keeps the source") {
  FilledStore filled;
  const std::string path = filled.store.blob_path(filled.digest);
  std::filesystem::copy_file(path, path + ".new");
  std::filesystem::rename(path + ".new", path);
  FoundBlob blob = filled.found();
  REQUIRE(blob.needs_hash);
  CHECK(filled.store.write_stamp(filled.digest, blob) == true);
  CHECK_FALSE(blob.needs_hash);
  CHECK(blob.integrity == Integrity::hashed);
  CHECK(blob.reason == "");
  CHECK_FALSE(filled.found().needs_hash);
  CHECK(filled.found().integrity == Integrity::stat_cached);
  CHECK(filled.found().verified_at == blob.verified_at);
  CHECK(record_of(filled).source_url == "https://example.org/w.gguf");
}

TEST_CASE("a blob that changed while it was hashed gets no stamp") {
  FilledStore filled;
  std::filesystem::remove(filled.record_path());
  FoundBlob blob = filled.found();
  const std::string path = filled.store.blob_path(filled.digest);
  REQUIRE(::chmod(path.c_str(), 0644) == 0);
  if (open_file(path, O_WRONLY)) {
    put(path, "other bytes");
    std::filesystem::last_write_time(path,
                                     std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
    CHECK(filled.store.write_stamp(filled.digest, blob) == false);
    CHECK(blob.needs_hash);
    CHECK_FALSE(exists(filled.record_path()));
  }
}

}  // namespace
}  // namespace ggufd::store
