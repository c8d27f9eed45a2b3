#include <sys/mount.h>

#include "store/json_file.h"
#include "support.h"

namespace ggufd::store {
namespace {

using namespace test;

TEST_CASE("a partial is a file of our own, in its folder") {
  TempFolder folder;
  const BlobStore store(folder / "models");
  const Digest key = digest_of("x");
  const auto partial = store.open_partial(key);
  REQUIRE(partial);
  CHECK(partial->key() == key);
  CHECK(partial->folder() == store.partial_folder(key));
  CHECK(partial->data_path() == store.partial_folder(key) + "/data.tmp");
  CHECK(partial->journal_path() == store.partial_folder(key) + "/journal.json");
  CHECK(mode_of(partial->data_path()) == 0600);
  CHECK((::fcntl(partial->fd(), F_GETFL) & O_ACCMODE) == O_RDWR);
  CHECK(::fcntl(partial->fd(), F_GETFD) == FD_CLOEXEC);
}

TEST_CASE("a partial has one writer at a time and is there for the next one") {
  TempFolder folder;
  const BlobStore store(folder / "models");
  const Digest key = digest_of("x");
  {
    const Partial first = partial_with(store, key, "half");
    put(first.journal_path(), "{}");
    const auto second = store.open_partial(key);
    REQUIRE_FALSE(second);
    CHECK(second.error().code == ErrorCode::busy);
    CHECK(store.open_partial(digest_of("y")).has_value());
  }
  const auto resumed = store.open_partial(key);
  REQUIRE(resumed);
  CHECK(read_fd(resumed->fd()) == "half");
  CHECK(get(resumed->journal_path()) == "{}");
}

TEST_CASE("a journal without its bytes is dropped") {
  TempFolder folder;
  const BlobStore store(folder / "models");
  const Digest key = digest_of("x");
  put(store.open_partial(key)->journal_path(), "{}");
  const auto partial = store.open_partial(key);
  REQUIRE(partial);
  CHECK_FALSE(exists(partial->journal_path()));
}

TEST_CASE("a partial that is a link or no file is refused, one that others may write is closed to them") {
  TempFolder folder;
  const BlobStore store(folder / "models");
  const Digest key = digest_of("x");
  const std::string path = store.open_partial(key)->data_path();
  REQUIRE(::chmod(path.c_str(), 0666) == 0);
  CHECK(store.open_partial(key).has_value());
  CHECK(mode_of(path) == 0600);
  std::filesystem::remove(path);
  put(folder / "victim", "precious");
  std::filesystem::create_symlink(folder / "victim", path);
  const auto linked = store.open_partial(key);
  REQUIRE_FALSE(linked);
  CHECK(linked.error().code == ErrorCode::io);
  std::filesystem::remove(path);
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  CHECK_FALSE(store.open_partial(key));
  CHECK(get(folder / "victim") == "precious");
}

TEST_CASE(
    "a partial that a commit, cut short, left read-only is resumed, but not while the commit is under way") {
  TempFolder folder;
  const BlobStore store(folder / "models");
  const Digest key = digest_of("x");
  {
    const Partial partial = partial_with(store, key, "all");
    REQUIRE(::fchmod(partial.fd(), 0444) == 0);
    const auto second = store.open_partial(key);
    REQUIRE_FALSE(second);
    CHECK(second.error().code == ErrorCode::busy);
    CHECK(mode_of(partial.data_path()) == 0444);
  }
  const auto resumed = store.open_partial(key);
  REQUIRE(resumed);
  CHECK(read_fd(resumed->fd()) == "all");
  CHECK(mode_of(resumed->data_path()) == 0600);
}

TEST_CASE("a partial of another user is refused") {
  if (!is_root()) {
    MESSAGE("skipped: only root can give a file away");
    return;
  }
  TempFolder folder;
  const BlobStore store(folder / "models");
  const Digest key = digest_of("x");
  REQUIRE(::chown(store.open_partial(key)->data_path().c_str(), 4242, 4242) == 0);
  const auto partial = store.open_partial(key);
  REQUIRE_FALSE(partial);
  CHECK(partial.error().message.find("belongs to user 4242") != std::string::npos);
}

TEST_CASE("a discarded partial is gone, and can be begun anew") {
  TempFolder folder;
  const BlobStore store(folder / "models");
  const Digest key = digest_of("x");
  Partial partial = partial_with(store, key, "half");
  put(partial.journal_path(), "{}");
  put(partial.folder() + "/.journal.json.0123456789abcdef", "{");
  CHECK(std::move(partial).discard());
  CHECK_FALSE(exists(store.partial_folder(key)));
  const auto anew = store.open_partial(key);
  REQUIRE(anew);
  CHECK(read_fd(anew->fd()) == "");
}

TEST_CASE("a commit leaves the blob read-only with its stamp, and no partial") {
  FilledStore filled;
  const std::string path = filled.store.blob_path(filled.digest);
  CHECK(get(path) == filled.content);
  CHECK(mode_of(path) == 0444);
  CHECK_FALSE(exists(filled.store.partial_folder(filled.digest)));
  const auto record = parse_json_file<VerifiedRecord>(get(filled.record_path()), filled.record_path());
  REQUIRE(record);
  CHECK(record->schema_version == 1);
  CHECK(record->sha256 == filled.digest.to_hex());
  CHECK(record->size_bytes == filled.content.size());
  CHECK(record->source_url == "https://example.org/w.gguf");
  CHECK(record->stat == filled.committed.stat);
  CHECK(record->verified_at == filled.committed.verified_at);
  CHECK(mode_of(filled.record_path()) == 0644);
}

TEST_CASE("what a commit returns is the file that was hashed, open for reading only") {
  TempFolder folder;
  const BlobStore store(folder / "models");
  const Digest digest = digest_of("bytes");
  Partial partial = partial_with(store, digest, "bytes");
  struct stat hashed{};
  REQUIRE(::fstat(partial.fd(), &hashed) == 0);
  const auto blob = store.commit(std::move(partial), digest, 5, "");
  REQUIRE(blob);
  CHECK_FALSE(blob->needs_hash);
  CHECK(blob->integrity != Integrity::stat_cached);
  CHECK(blob->stat.ino == hashed.st_ino);
  CHECK((::fcntl(blob->fd.get(), F_GETFL) & O_ACCMODE) == O_RDONLY);
  std::filesystem::remove(blob->path);
  CHECK(read_fd(blob->fd.get()) == "bytes");
}

TEST_CASE("a partial may be named for its source when the digest is not known before") {
  TempFolder folder;
  const BlobStore store(folder / "models");
  const Digest key = digest_of("https://example.org/w.gguf");
  const Digest digest = digest_of("bytes");
  REQUIRE(store.commit(partial_with(store, key, "bytes"), digest, 5, ""));
  CHECK(get(store.blob_path(digest)) == "bytes");
  CHECK_FALSE(exists(store.partial_folder(key)));
}

TEST_CASE("a partial of another size is no blob and stays") {
  TempFolder folder;
  const BlobStore store(folder / "models");
  const Digest digest = digest_of("bytes");
  const auto blob = store.commit(partial_with(store, digest, "byte"), digest, 5, "");
  REQUIRE_FALSE(blob);
  CHECK(blob.error().code == ErrorCode::size_mismatch);
  CHECK_FALSE(exists(store.blob_path(digest)));
  CHECK(get(store.partial_folder(digest) + "/data.tmp") == "byte");
}

TEST_CASE("where another process was first its blob is kept and ours goes") {
  FilledStore filled;
  const auto blob = filled.store.commit(partial_with(filled.store, filled.digest, filled.content),
                                        filled.digest, filled.content.size(), "https://example.org/other");
  REQUIRE(blob);
  CHECK_FALSE(blob->needs_hash);
  CHECK(blob->stat == filled.committed.stat);
  CHECK(get(filled.record_path()).find("/other") == std::string::npos);
  CHECK_FALSE(exists(filled.store.partial_folder(filled.digest)));
}

TEST_CASE("a blob that cannot be believed, or a link in its place, is replaced by the one just verified") {
  FilledStore filled;
  const std::string path = filled.store.blob_path(filled.digest);
  std::filesystem::remove(filled.record_path());
  CHECK(filled.commit().stat.ino != filled.committed.stat.ino);
  CHECK_FALSE(filled.found().needs_hash);
  put(filled.folder / "victim", "precious");
  std::filesystem::remove(path);
  std::filesystem::create_symlink(filled.folder / "victim", path);
  filled.commit();
  CHECK_FALSE(filled.found().needs_hash);
  CHECK(get(path) == filled.content);
  CHECK(get(filled.folder / "victim") == "precious");
}

TEST_CASE("a commit that cannot take its name is an error and keeps the bytes") {
  FilledStore filled;
  const std::string path = filled.store.blob_path(filled.digest);
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  const auto blob = filled.store.commit(partial_with(filled.store, filled.digest, filled.content),
                                        filled.digest, filled.content.size(), "");
  REQUIRE_FALSE(blob);
  CHECK(blob.error().code == ErrorCode::io);
  CHECK(get(filled.store.partial_folder(filled.digest) + "/data.tmp") == filled.content);
  std::filesystem::remove(path);
  filled.commit();
}

TEST_CASE("a stamp that cannot be written does not cost the blob") {
  FilledStore filled;
  std::filesystem::remove(filled.record_path());
  std::filesystem::create_directory(filled.record_path());
  const auto blob = filled.store.commit(partial_with(filled.store, filled.digest, filled.content),
                                        filled.digest, filled.content.size(), "");
  REQUIRE(blob);
  CHECK_FALSE(blob->needs_hash);
  CHECK(blob->reason.find("verified.json") != std::string::npos);
  CHECK(filled.found().needs_hash);
}

TEST_CASE("the lock of a partial that became a blob does not give anybody the blob to write") {
  FilledStore filled;
  std::filesystem::remove(filled.record_path());
  Partial partial = partial_with(filled.store, filled.digest, filled.content);
  // The next process has data.tmp open already and waits for the lock; when it gets it, the file is the blob.
  const auto latecomer = open_file(partial.data_path(), O_RDWR);
  REQUIRE(latecomer);
  REQUIRE(filled.store.commit(std::move(partial), filled.digest, filled.content.size(), ""));
  CHECK(try_lock(latecomer->get(), "data") == true);
  const auto anew = filled.store.open_partial(filled.digest);
  REQUIRE(anew);
  CHECK(read_fd(anew->fd()) == "");
  CHECK(get(filled.store.blob_path(filled.digest)) == filled.content);
}

// A file system of one's own that is soon full; root alone can make one.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& path) : path_(path) {
    std::filesystem::create_directory(path);
    is_mounted_ = ::mount("tmpfs", path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,mode=700") == 0;
  }
  ~SmallDisk() {
    if (is_mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool is_mounted() const { return is_mounted_; }
  // Takes every block that is left.
  void fill() const {
    const auto fd = open_file(path_ + "/filler", O_WRONLY | O_CREAT, 0600);
    REQUIRE(fd);
    const std::string block(4096, 'x');
    Result<void> written;
    while (written) written = write_all(fd->get(), std::as_bytes(std::span(block)), "filler");
    CHECK(written.error().code == ErrorCode::disk_full);
  }

 private:
  std::string path_;
  bool is_mounted_ = false;
};

TEST_CASE("a full disk is disk_full, and nothing that was complete is lost") {
  TempFolder folder;
  const SmallDisk disk(folder / "disk");
  if (!disk.is_mounted()) {
    MESSAGE("skipped: no small file system could be mounted (needs root)");
    return;
  }
  const BlobStore store(folder / "disk/models");
  const Digest digest = digest_of("bytes");
  Partial partial = partial_with(store, digest, "bytes");
  REQUIRE(write_file_atomically(store.root(), "f", "old", 0644));
  REQUIRE(
      make_store_folder(store.root(), {"blobs", "sha256", digest.to_hex().substr(0, 2), digest.to_hex()}));
  disk.fill();
  const std::string large(8192, 'y');
  const auto written = pwrite_all(partial.fd(), std::as_bytes(std::span(large)), 4096, partial.data_path());
  REQUIRE_FALSE(written);
  CHECK(written.error().code == ErrorCode::disk_full);
  const auto replaced = write_file_atomically(store.root(), "f", "new", 0644);
  REQUIRE_FALSE(replaced);
  CHECK(replaced.error().code == ErrorCode::disk_full);
  CHECK(get(store.root() + "/f") == "old");
  // The commit needs no new block but for the stamp.
  const auto blob = store.commit(std::move(partial), digest, 5, "");
  REQUIRE(blob);
  CHECK_FALSE(blob->needs_hash);
  CHECK(blob->reason.find("verified.json") != std::string::npos);
  CHECK((*store.find(digest))->needs_hash);
  CHECK(get(store.blob_path(digest)) == "bytes");
}

}  // namespace
}  // namespace ggufd::store
