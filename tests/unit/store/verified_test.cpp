#include "store/verified.h"

#include "store/verity.h"
#include "support.h"

namespace ggufd::store {
namespace {

using namespace test;

const Digest digest = *Digest::parse(std::string(64, 'a'));
const StatStamp stat{.dev = 1, .ino = 2, .size_bytes = 3, .mtime_ns = 4, .ctime_ns = 5, .btime_ns = 6};

VerifiedRecord record() {
  VerifiedRecord made;
  made.sha256 = digest.to_hex();
  made.size_bytes = stat.size_bytes;
  made.stat = stat;
  return made;
}

TEST_CASE("a blob whose stat is the recorded one need not be read") {
  const Judgement judgement = judge(digest, record(), stat, std::nullopt);
  CHECK_FALSE(judgement.needs_hash);
  CHECK(judgement.integrity == Integrity::stat_cached);
  CHECK(judgement.reason == "");
}

TEST_CASE("a difference in any field of the stat asks for a hash and names the field") {
  const auto reason_with = [](auto change) {
    StatStamp now = stat;
    change(now);
    VerifiedRecord changed = record();
    changed.size_bytes = now.size_bytes;
    const Judgement judgement = judge(digest, changed, now, std::nullopt);
    CHECK(judgement.needs_hash);
    CHECK(judgement.integrity == Integrity::hashed);
    return judgement.reason;
  };
  CHECK(reason_with([](StatStamp& now) { ++now.dev; }) == "its dev is not the one that was verified");
  CHECK(reason_with([](StatStamp& now) { ++now.ino; }) == "its ino is not the one that was verified");
  CHECK(reason_with([](StatStamp& now) { ++now.size_bytes; }) ==
        "its size_bytes is not the one that was verified");
  CHECK(reason_with([](StatStamp& now) { ++now.mtime_ns; }) ==
        "its mtime_ns is not the one that was verified");
  CHECK(reason_with([](StatStamp& now) { ++now.ctime_ns; }) ==
        "its ctime_ns is not the one that was verified");
  CHECK(reason_with([](StatStamp& now) { ++*now.btime_ns; }) ==
        "its btime_ns is not the one that was verified");
  CHECK(reason_with([](StatStamp& now) { now.btime_ns.reset(); }) ==
        "its btime_ns is not the one that was verified");
}

TEST_CASE("a record of another digest, size or schema is not for this blob") {
  VerifiedRecord other = record();
  other.sha256 = std::string(64, 'b');
  CHECK(judge(digest, other, stat, std::nullopt).needs_hash);
  other = record();
  other.sha256 = "nonsense";
  CHECK(judge(digest, other, stat, std::nullopt).needs_hash);
  other = record();
  ++other.size_bytes;
  CHECK(judge(digest, other, stat, std::nullopt).needs_hash);
  other = record();
  other.schema_version = 2;
  CHECK(judge(digest, other, stat, std::nullopt).needs_hash);
}

TEST_CASE("an equal fs-verity digest is the kernel's word, whatever the stat says") {
  VerifiedRecord sealed = record();
  sealed.fs_verity = "sha256:00";
  StatStamp touched = stat;
  ++touched.ctime_ns;
  const Judgement judgement = judge(digest, sealed, touched, "sha256:00");
  CHECK_FALSE(judgement.needs_hash);
  CHECK(judgement.integrity == Integrity::kernel_enforced);
}

TEST_CASE("an fs-verity digest that is missing or another one is worth no more than the stat") {
  VerifiedRecord sealed = record();
  sealed.fs_verity = "sha256:00";
  CHECK(judge(digest, sealed, stat, std::nullopt).integrity == Integrity::stat_cached);
  CHECK(judge(digest, sealed, stat, "sha256:11").integrity == Integrity::stat_cached);
  CHECK(judge(digest, record(), stat, "sha256:00").integrity == Integrity::stat_cached);
  StatStamp touched = stat;
  ++touched.ctime_ns;
  CHECK(judge(digest, sealed, touched, "sha256:11").needs_hash);
}

TEST_CASE("a file that cannot be sealed is left as it is, without a word") {
  TempFolder folder;
  put(folder / "f", "x");
  const auto writer = open_file(folder / "f", O_RDWR);
  const auto reader = open_file(folder / "f", O_RDONLY);
  CHECK_FALSE(measure_verity(reader->get()));
  // Open for writing: no kernel seals it.
  CHECK_FALSE(enable_verity(reader->get()));
  CHECK_FALSE(measure_verity(reader->get()));
  CHECK_FALSE(enable_verity(-1));
}

TEST_CASE("the stat of a file tells every change") {
  TempFolder folder;
  put(folder / "f", "x");
  const auto fd = open_file(folder / "f", O_RDONLY);
  const auto before = stat_stamp(fd->get(), "f");
  REQUIRE(before);
  CHECK(before->size_bytes == 1);
  CHECK(*before == *stat_stamp(fd->get(), "f"));
  struct stat status{};
  REQUIRE(::fstat(fd->get(), &status) == 0);
  CHECK(before->dev == status.st_dev);
  CHECK(before->ino == status.st_ino);
  put(folder / "f", "longer");
  CHECK(first_difference(*before, *stat_stamp(fd->get(), "f")) == "size_bytes");
  CHECK_FALSE(stat_stamp(-1, "f"));
}

TEST_CASE("a time stamp is settled once the clock has left its tick") {
  StatStamp stamp;
  stamp.ctime_ns = 5'000'000'001;
  CHECK_FALSE(is_settled(stamp, 5'000'000'001));
  CHECK_FALSE(is_settled(stamp, 5'020'000'000));
  CHECK(is_settled(stamp, 5'020'000'001));
  CHECK_FALSE(is_settled(stamp, 4'000'000'000));
  stamp.ctime_ns = 5'000'000'000;  // no fraction: the file system may keep none
  CHECK_FALSE(is_settled(stamp, 6'999'999'999));
  CHECK(is_settled(stamp, 7'000'000'000));
}

TEST_CASE("only our own files and root's, which nobody else may write, are believed") {
  struct stat status{};
  status.st_mode = S_IFREG | 0644;
  status.st_uid = ::geteuid();
  CHECK(distrust_of(status, "/f") == "");
  status.st_uid = 0;
  CHECK(distrust_of(status, "/f") == "");
  status.st_uid = ::geteuid() + 4242;
  CHECK(distrust_of(status, "/f").find("/f belongs to user ") == 0);
  status.st_uid = ::geteuid();
  status.st_mode = S_IFREG | 0664;
  CHECK(distrust_of(status, "/f") == "/f may be written by its group");
  status.st_mode = S_IFREG | 0646;
  CHECK(distrust_of(status, "/f") == "/f may be written by everyone");
}

}  // namespace
}  // namespace ggufd::store
