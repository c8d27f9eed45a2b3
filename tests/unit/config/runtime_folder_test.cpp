// What is made, and what is refused because somebody else was there first: /tmp/ggufd-<uid> lies where
// everybody may write.
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "config/places.h"
#include "support.h"

using namespace ggufd::config;
using config_test::TemporaryFolder;

namespace {

mode_t mode_of(const std::string& path) {
  struct stat status{};
  REQUIRE(lstat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

void make(const std::string& path, mode_t mode) {
  REQUIRE(mkdir(path.c_str(), 0700) == 0);
  REQUIRE(chmod(path.c_str(), mode) == 0);
}

void check_prepared(const std::string& path) {
  const auto prepared = prepare_runtime_folder(path, geteuid());
  if (!prepared) FAIL(prepared.error().message);
}

void check_unsafe(const std::string& path, std::string_view part, uid_t uid = geteuid()) {
  const auto prepared = prepare_runtime_folder(path, uid);
  REQUIRE_FALSE(prepared.has_value());
  CAPTURE(prepared.error().message);
  CHECK(prepared.error().is_unsafe);
  CHECK(prepared.error().message.find(part) != std::string::npos);
  CHECK(prepared.error().message.find(path) != std::string::npos);
}

}  // namespace

TEST_SUITE_BEGIN("config");

TEST_CASE("a folder that is missing is made 0700, and so is what is missing above it") {
  const TemporaryFolder base;
  check_prepared(base / "a/b/ggufd");
  CHECK(mode_of(base / "a/b/ggufd") == 0700);
  CHECK(mode_of(base / "a/b") == 0700);
  CHECK(mode_of(base / "a") == 0700);
}

TEST_CASE("the process's umask does not change the folder's mode") {
  const TemporaryFolder base;
  const mode_t before = umask(0377);
  const auto prepared = prepare_runtime_folder(base / "ggufd", geteuid());
  umask(before);
  REQUIRE(prepared.has_value());
  CHECK(mode_of(base / "ggufd") == 0700);
}

TEST_CASE("a folder whose socket others may connect to can be searched by them, and no more") {
  const TemporaryFolder base;
  REQUIRE(prepare_runtime_folder(base / "ggufd", geteuid(), FolderAccess::searched_by_all).has_value());
  CHECK(mode_of(base / "ggufd") == 0711);
  // And back.
  std::ofstream(base / "ggufd/ggufd.lock") << "1";
  check_prepared(base / "ggufd");
  CHECK(mode_of(base / "ggufd") == 0700);
}

TEST_CASE("a folder of ours is taken again") {
  const TemporaryFolder base;
  make(base / "ggufd", 0700);
  check_prepared(base / "ggufd");
  check_prepared(base / "ggufd/");
}

TEST_CASE("a folder that others may read is set to 0700 where nothing but us uses it") {
  const TemporaryFolder base;
  make(base / "empty", 0755);
  check_prepared(base / "empty");
  CHECK(mode_of(base / "empty") == 0700);
  make(base / "used", 0755);
  std::ofstream(base / "used/ggufd.lock") << "1";
  check_prepared(base / "used");
  CHECK(mode_of(base / "used") == 0700);
  // A service manager has bound it for us.
  make(base / "waiting", 0755);
  std::ofstream(base / "waiting/admin.sock") << "";
  check_prepared(base / "waiting");
  CHECK(mode_of(base / "waiting") == 0700);
}

TEST_CASE("a folder that serves something else as well keeps its mode") {
  const TemporaryFolder base;
  make(base / "shared", 0755);
  std::ofstream(base / "shared/other.pid") << "1";
  check_prepared(base / "shared");
  CHECK(mode_of(base / "shared") == 0755);
}

TEST_CASE("a symbolic link is refused, wherever it points and whatever follows it") {
  const TemporaryFolder base;
  make(base / "mine", 0700);
  REQUIRE(symlink((base / "mine").c_str(), (base / "to-mine").c_str()) == 0);
  check_unsafe(base / "to-mine", "symbolic link");
  const auto with_slash = prepare_runtime_folder(base / "to-mine/", geteuid());
  REQUIRE_FALSE(with_slash.has_value());
  CHECK(with_slash.error().is_unsafe);
  REQUIRE(symlink("/etc", (base / "to-etc").c_str()) == 0);
  check_unsafe(base / "to-etc", "symbolic link");
  REQUIRE(symlink((base / "nowhere").c_str(), (base / "dangling").c_str()) == 0);
  check_unsafe(base / "dangling", "symbolic link");
  CHECK_FALSE(std::filesystem::exists(base / "nowhere"));
}

TEST_CASE("a folder of another user is refused") {
  const TemporaryFolder base;
  make(base / "ggufd", 0700);
  check_unsafe(base / "ggufd", "belongs to user", geteuid() + 1);
  CHECK(mode_of(base / "ggufd") == 0700);
  if (geteuid() != 0) return;
  REQUIRE(chown((base / "ggufd").c_str(), 65534, 65534) == 0);
  check_unsafe(base / "ggufd", "belongs to user 65534, not to user 0");
}

TEST_CASE("a folder that group or others may write is refused, sticky or not") {
  const TemporaryFolder base;
  int number = 0;
  for (const mode_t mode : {0770U, 0720U, 0702U, 0777U, 01777U}) {
    const std::string path = base / fmt::format("{}", number++);
    make(path, mode);
    check_unsafe(path, "may be written by others");
    CHECK(mode_of(path) == mode);
  }
}

TEST_CASE("what is no folder is refused") {
  const TemporaryFolder base;
  std::ofstream(base / "file") << "x";
  check_unsafe(base / "file", "is not a folder");
}

TEST_CASE("a folder that cannot be made is an error, not an unsafe folder") {
  const TemporaryFolder base;
  std::ofstream(base / "file") << "x";
  const auto prepared = prepare_runtime_folder(base / "file/ggufd", geteuid());
  REQUIRE_FALSE(prepared.has_value());
  CHECK_FALSE(prepared.error().is_unsafe);
  CHECK(prepared.error().message.find("Not a directory") != std::string::npos);
}

TEST_SUITE_END();
