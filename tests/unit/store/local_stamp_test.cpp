#include "store/local_stamp.h"

#include "store/json_file.h"
#include "support.h"

namespace ggufd::store {
namespace {

using namespace test;

// A store, and beside it a local file that was hashed.
struct LocalFile {
  TempFolder folder;
  BlobStore store{folder / "models"};
  std::string folder_path = folder / "mine";
  std::string path = folder_path + "/w.gguf";
  std::string content = "the weights";
  UniqueFd fd = make();

  UniqueFd make() {
    std::filesystem::create_directory(folder_path);
    REQUIRE(::chmod(folder_path.c_str(), 0755) == 0);
    put(path, content);
    REQUIRE(::chmod(path.c_str(), 0644) == 0);
    return open();
  }
  UniqueFd open() const {
    auto opened = open_file(path, O_RDONLY);
    REQUIRE(opened);
    return std::move(*opened);
  }
  // As if the file had been lying there for a while.
  BeforeHash before() const {
    auto taken = before_hash(fd.get(), path);
    REQUIRE(taken);
    taken->taken_at_ns += 10'000'000'000;
    return *taken;
  }
  bool stamp() const {
    const auto written = store.write_local_stamp(fd.get(), path, digest_of(content), before());
    REQUIRE(written);
    return *written;
  }
  bool is_known() const {
    const auto found = store.find_local_stamp(open().get(), path);
    REQUIRE(found);
    if (*found) CHECK((*found)->digest == digest_of(content));
    return found->has_value();
  }
  std::string stamp_path() const { return store.root() + "/stamps/" + digest_of(path).to_hex() + ".json"; }
};

TEST_CASE("a local file that was hashed is known again; its folder stays as it was") {
  LocalFile file;
  CHECK_FALSE(file.is_known());
  CHECK_FALSE(exists(file.store.root()));
  CHECK(file.stamp());
  CHECK(file.is_known());
  CHECK(std::distance(std::filesystem::directory_iterator(file.folder_path), {}) == 1);
  const auto stamp = parse_json_file<LocalStamp>(get(file.stamp_path()), file.stamp_path());
  REQUIRE(stamp);
  CHECK(stamp->path == file.path);
  CHECK(stamp->sha256 == digest_of(file.content).to_hex());
}

TEST_CASE("a local file that was written to, or replaced, is unknown") {
  LocalFile file;
  REQUIRE(file.stamp());
  put(file.path, "other weights");
  CHECK_FALSE(file.is_known());
  put(file.path, file.content);
  REQUIRE(file.stamp());
  std::filesystem::copy_file(file.path, file.path + ".new");
  std::filesystem::rename(file.path + ".new", file.path);
  CHECK_FALSE(file.is_known());
}

TEST_CASE("a local file that changed while it was hashed gets no stamp") {
  LocalFile file;
  const BeforeHash before = file.before();
  put(file.path, "other weights");
  CHECK(file.store.write_local_stamp(file.fd.get(), file.path, digest_of(file.content), before) == false);
  CHECK_FALSE(exists(file.stamp_path()));
}

TEST_CASE("a local file that was written a moment ago gets no stamp") {
  LocalFile file;
  BeforeHash before = file.before();
  before.taken_at_ns = before.stat.ctime_ns + 1'000'000;
  CHECK(file.store.write_local_stamp(file.fd.get(), file.path, digest_of(file.content), before) == false);
  CHECK_FALSE(file.is_known());
}

TEST_CASE("the clock that a stamp is compared with is that of the file system") {
  LocalFile file;
  const auto before = before_hash(file.fd.get(), file.path);
  REQUIRE(before);
  CHECK(before->taken_at_ns - before->stat.ctime_ns < 60'000'000'000);
  CHECK(before->taken_at_ns - before->stat.ctime_ns > -1'000'000'000);
}

TEST_CASE("a local file that somebody else may write is never known") {
  LocalFile file;
  REQUIRE(file.stamp());
  const auto is_known_with = [&](const std::string& path, mode_t mode, mode_t usual) {
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    const bool is_known = file.is_known();
    REQUIRE(::chmod(path.c_str(), usual) == 0);
    return is_known;
  };
  CHECK_FALSE(is_known_with(file.folder_path, 0775, 0755));
  CHECK_FALSE(is_known_with(file.store.root(), 0757, 0755));
  CHECK_FALSE(is_known_with(file.stamp_path(), 0664, 0644));
  CHECK(file.is_known());
  REQUIRE(::chmod(file.path.c_str(), 0664) == 0);
  CHECK_FALSE(file.stamp());
  CHECK(*distrust_of_local(file.fd.get(), file.path) == file.path + " may be written by its group");
}

TEST_CASE("a local file of somebody else is never known") {
  if (!is_root()) {
    MESSAGE("skipped: only root can give a file away");
    return;
  }
  LocalFile file;
  REQUIRE(::chown(file.folder_path.c_str(), 4242, 4242) == 0);
  CHECK_FALSE(file.stamp());
  REQUIRE(::chown(file.folder_path.c_str(), 0, 0) == 0);
  CHECK(file.stamp());
  REQUIRE(::chown(file.path.c_str(), 4242, 4242) == 0);
  CHECK_FALSE(file.stamp());
  CHECK_FALSE(file.is_known());
}

TEST_CASE("the folder that counts is the one where the file really lies") {
  LocalFile file;
  const std::string link = file.folder / "link.gguf";
  std::filesystem::create_symlink(file.path, link);
  const UniqueFd through_link(::open(link.c_str(), O_RDONLY | O_CLOEXEC));
  CHECK(*distrust_of_local(through_link.get(), link) == "");
  REQUIRE(::chmod(file.folder_path.c_str(), 0777) == 0);
  CHECK(*distrust_of_local(through_link.get(), link) == file.folder_path + " may be written by its group");
}

TEST_CASE("a local file without a name cannot be known by one") {
  LocalFile file;
  std::filesystem::remove(file.path);
  CHECK(*distrust_of_local(file.fd.get(), file.path) == file.path + " has no name any more");
}

TEST_CASE("a malformed stamp of a local file is no stamp, and no error") {
  LocalFile file;
  REQUIRE(file.stamp());
  const std::string good = get(file.stamp_path());
  for (const std::string& bad : {std::string(), std::string("{"), std::string("[]"),
                                 std::string("{\"schema_version\":1}"), good.substr(0, good.size() / 2)}) {
    CAPTURE(bad);
    put(file.stamp_path(), bad);
    CHECK_FALSE(file.is_known());
  }
  auto stamp = *parse_json_file<LocalStamp>(good, "stamp");
  stamp.sha256 = "../../x";
  put(file.stamp_path(), to_json(stamp));
  CHECK_FALSE(file.is_known());
  stamp = *parse_json_file<LocalStamp>(good, "stamp");
  stamp.schema_version = 2;
  put(file.stamp_path(), to_json(stamp));
  CHECK_FALSE(file.is_known());
  put(file.stamp_path(), good);
  CHECK(file.is_known());
}

TEST_CASE("a local file is named by its absolute path") {
  LocalFile file;
  const auto found = file.store.find_local_stamp(file.fd.get(), "w.gguf");
  REQUIRE_FALSE(found);
  CHECK(found.error().code == ErrorCode::bad_source);
  const auto written = file.store.write_local_stamp(file.fd.get(), "w.gguf", digest_of("x"), file.before());
  REQUIRE_FALSE(written);
  CHECK(written.error().code == ErrorCode::bad_source);
}

}  // namespace
}  // namespace ggufd::store
