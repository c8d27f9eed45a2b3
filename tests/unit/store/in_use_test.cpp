// Who uses a blob holds a shared lock on it; who removes it an exclusive one.
#include <sys/file.h>

#include "store/flock_table.h"
#include "support.h"

namespace ggufd::store {
namespace {

using namespace test;

// An open file of its own, as another process would have it.
UniqueFd opened(const std::string& path) {
  auto fd = open_file(path, O_RDONLY);
  REQUIRE(fd);
  return std::move(*fd);
}

TEST_CASE("a blob that was committed is in use until it is closed") {
  FilledStore filled;
  const UniqueFd other = opened(filled.store.blob_path(filled.digest));
  CHECK(try_lock(other.get(), "data") == false);
  filled.committed.fd.reset();
  CHECK(try_lock(other.get(), "data") == true);
}

TEST_CASE("a blob that was found is in use, by any number at once, and through inherited descriptors") {
  FilledStore filled;
  filled.committed.fd.reset();
  const UniqueFd other = opened(filled.store.blob_path(filled.digest));
  UniqueFd inherited;
  {
    const FoundBlob first = filled.found();
    const FoundBlob second = filled.found();
    inherited.reset(::dup(second.fd.get()));
    CHECK(try_lock(other.get(), "data") == false);
  }
  CHECK(try_lock(other.get(), "data") == false);
  inherited.reset();
  CHECK(try_lock(other.get(), "data") == true);
}

TEST_CASE("a blob that is being removed is as good as not there, and nobody waits") {
  FilledStore filled;
  filled.committed.fd.reset();
  UniqueFd remover = opened(filled.store.blob_path(filled.digest));
  REQUIRE(try_lock(remover.get(), "data") == true);
  CHECK_FALSE(filled.store.find(filled.digest)->has_value());
  remover.reset();
  CHECK(filled.store.find(filled.digest)->has_value());
}

TEST_CASE("a blob in use is put away all the same by its user") {
  FilledStore filled;
  const FoundBlob mine = filled.found();
  const auto path = filled.store.quarantine_blob(
      filled.digest, {.url = "", .reason = "sha256_mismatch", .expected = "", .actual = ""});
  REQUIRE(path);
  CHECK_FALSE(filled.store.find(filled.digest)->has_value());
  CHECK(read_fd(mine.fd.get()) == filled.content);
}

TEST_CASE("a partial that another one took over in the moment of its commit is not committed") {
  TempFolder folder;
  const BlobStore store(folder / "models");
  const Digest digest = digest_of("x");
  Partial partial = partial_with(store, digest, "x");
  // The same open file, locked anew by somebody else.
  REQUIRE(::flock(partial.fd(), LOCK_UN) == 0);
  const UniqueFd other = opened(partial.data_path());
  REQUIRE(try_lock(other.get(), "data.tmp") == true);
  const auto committed = store.commit(std::move(partial), digest, 1, "");
  REQUIRE_FALSE(committed);
  CHECK(committed.error().code == ErrorCode::busy);
  CHECK_FALSE(exists(store.blob_path(digest)));
}

TEST_CASE("the kernel's table of locks is read; what is no flock, or no line of it, is passed over") {
  const FlockTable table = FlockTable::parse(
      "1: FLOCK  ADVISORY  WRITE 708 08:01:131 0 EOF\n"
      "2: POSIX  ADVISORY  READ 708 08:01:132 0 EOF\n"
      "3: FLOCK  ADVISORY  READ 9 00:2a:18446744073709551615 0 EOF\n"
      "3: -> FLOCK  ADVISORY  READ 9 00:2a:133 0 EOF\n"
      "nonsense\n\n4: FLOCK\n5: FLOCK A W 1 x:y:z 0 EOF");
  CHECK(table.has(131));
  CHECK(table.has(18446744073709551615U));
  CHECK_FALSE(table.has(132));
  CHECK_FALSE(table.has(133));
  CHECK_FALSE(table.has(0));
}

TEST_CASE("a lock that is held stands in the kernel's table") {
  FilledStore filled;
  CHECK(FlockTable::now().has(filled.committed.stat.ino));
  filled.committed.fd.reset();
  CHECK_FALSE(FlockTable::now().has(filled.committed.stat.ino));
}

}  // namespace
}  // namespace ggufd::store
