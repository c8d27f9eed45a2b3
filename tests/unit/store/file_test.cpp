#include "store/file.h"

#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>

#include "support.h"

namespace ggufd::store {
namespace {

using namespace test;

TEST_CASE("a descriptor is closed once, by its last owner") {
  TempFolder folder;
  put(folder / "f", "x");
  int number = -1;
  {
    auto fd = open_file(folder / "f", O_RDONLY);
    REQUIRE(fd);
    number = fd->get();
    UniqueFd moved(std::move(*fd));
    CHECK_FALSE(static_cast<bool>(*fd));
    CHECK(::fcntl(number, F_GETFD) == FD_CLOEXEC);
  }
  CHECK(::fcntl(number, F_GETFD) == -1);
}

TEST_CASE("a symbolic link is not followed and the error names it") {
  TempFolder folder;
  put(folder / "target", "x");
  std::filesystem::create_symlink("target", folder / "link");
  const auto fd = open_file(folder / "link", O_RDONLY);
  REQUIRE_FALSE(fd);
  CHECK(fd.error().code == ErrorCode::io);
  CHECK(fd.error().message.find(folder / "link") != std::string::npos);
  CHECK(fd.error().message.find("symbolic link") != std::string::npos);
}

TEST_CASE("a regular file is opened, a missing one is nothing, the rest is an error and never blocks") {
  TempFolder folder;
  put(folder / "file", "x");
  std::filesystem::create_directory(folder / "folder");
  std::filesystem::create_symlink("file", folder / "link");
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  const auto file = open_regular(folder / "file", O_RDONLY);
  REQUIRE(file);
  REQUIRE(*file);
  CHECK((::fcntl((*file)->get(), F_GETFL) & O_NONBLOCK) == 0);
  const auto missing = open_regular(folder / "missing", O_RDONLY);
  REQUIRE(missing);
  CHECK_FALSE(*missing);
  CHECK_FALSE(open_regular(folder / "folder", O_RDONLY));
  CHECK_FALSE(open_regular(folder / "link", O_RDONLY));
  CHECK_FALSE(open_regular(folder / "pipe", O_RDONLY));
}

TEST_CASE("reading is whole, and short only at the end of the file") {
  TempFolder folder;
  put(folder / "f", "0123456789");
  const auto fd = open_file(folder / "f", O_RDONLY);
  std::string buffer(8, ' ');
  CHECK(pread_all(fd->get(), std::as_writable_bytes(std::span(buffer)), 1, "f") == 8U);
  CHECK(buffer == "12345678");
  CHECK(pread_all(fd->get(), std::as_writable_bytes(std::span(buffer)), 7, "f") == 3U);
  CHECK(pread_all(fd->get(), std::as_writable_bytes(std::span(buffer)), 99, "f") == 0U);
  const auto bad = pread_all(-1, std::as_writable_bytes(std::span(buffer)), 0, "the file");
  REQUIRE_FALSE(bad);
  CHECK(bad.error().message.find("the file") != std::string::npos);
}

TEST_CASE("writing at an offset leaves a hole before it") {
  TempFolder folder;
  const auto fd = open_file(folder / "f", O_RDWR | O_CREAT, 0600);
  REQUIRE(fd);
  REQUIRE(pwrite_all(fd->get(), std::as_bytes(std::span(std::string_view("xy"))), 2, "f"));
  CHECK(get(folder / "f") == std::string("\0\0xy", 4));
  CHECK_FALSE(pwrite_all(-1, std::as_bytes(std::span(std::string_view("x"))), 0, "f"));
  CHECK_FALSE(write_all(-1, std::as_bytes(std::span(std::string_view("x"))), "f"));
}

TEST_CASE("a small file is read whole, a large one is refused") {
  TempFolder folder;
  put(folder / "f", "12345");
  const auto fd = open_file(folder / "f", O_RDONLY);
  CHECK(read_all(fd->get(), 5, "f") == "12345");
  const auto refused = read_all(fd->get(), 4, "f");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("5 bytes") != std::string::npos);
}

TEST_CASE("the read-only twin is the same file, even when the name stands for another one") {
  TempFolder folder;
  put(folder / "f", "old");
  const auto fd = open_file(folder / "f", O_RDWR);
  std::filesystem::remove(folder / "f");
  put(folder / "f", "new");
  const auto twin = reopen_read_only(fd->get(), folder / "f");
  REQUIRE(twin);
  CHECK(read_fd(twin->get()) == "old");
  CHECK((::fcntl(twin->get(), F_GETFL) & O_ACCMODE) == O_RDONLY);
  CHECK(::fcntl(twin->get(), F_GETFD) == FD_CLOEXEC);
}

TEST_CASE("an atomic write replaces the content, has the mode asked for and leaves nothing beside it") {
  TempFolder folder;
  put(folder / "f", "old");
  const mode_t old_umask = ::umask(077);
  CHECK(write_file_atomically(folder.path(), "f", "new", 0644));
  ::umask(old_umask);
  CHECK(get(folder / "f") == "new");
  CHECK(mode_of(folder / "f") == 0644);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("an atomic write that fails leaves the old content and nothing beside it") {
  TempFolder folder;
  std::filesystem::create_directories(folder / "f/in the way");
  const auto written = write_file_atomically(folder.path(), "f", "new", 0644);
  REQUIRE_FALSE(written);
  CHECK(written.error().code == ErrorCode::io);
  CHECK(exists(folder / "f/in the way"));
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
  CHECK_FALSE(write_file_atomically(folder / "missing", "f", "new", 0644));
}

TEST_CASE("an atomic write that the size limit cuts short leaves the old content") {
  TempFolder folder;
  put(folder / "f", "old");
  // The limit is a process's own, so a child takes it.
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit{2, 2};
    const bool is_limited = ::setrlimit(RLIMIT_FSIZE, &limit) == 0;
    const auto written = write_file_atomically(folder.path(), "f", "longer than the limit", 0644);
    ::_exit(is_limited && !written && written.error().code == ErrorCode::io ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(get(folder / "f") == "old");
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("a move never replaces a file") {
  TempFolder folder;
  put(folder / "a", "a");
  put(folder / "b", "b");
  const auto fd = open_folder(folder.path());
  CHECK(move_no_replace(fd->get(), "a", fd->get(), "b", "b") == Moved::name_is_taken);
  CHECK(get(folder / "a") == "a");
  CHECK(get(folder / "b") == "b");
  CHECK(move_no_replace(fd->get(), "a", fd->get(), "c", "c") == Moved::yes);
  CHECK_FALSE(exists(folder / "a"));
  CHECK(get(folder / "c") == "a");
  CHECK_FALSE(move_no_replace(fd->get(), "missing", fd->get(), "d", "d"));
}

TEST_CASE("an exclusive file is made once") {
  TempFolder folder;
  std::filesystem::create_symlink("nowhere", folder / "link");
  const auto fd = open_folder(folder.path());
  CHECK(create_exclusive_at(fd->get(), "f", 0600, "f")->has_value());
  CHECK_FALSE(create_exclusive_at(fd->get(), "f", 0600, "f")->has_value());
  CHECK_FALSE(create_exclusive_at(fd->get(), "link", 0600, "link")->has_value());
}

TEST_CASE("folders are made with those above them; a file in the way is an error") {
  TempFolder folder;
  CHECK(make_dirs(folder / "a/b//c/"));
  CHECK(make_dirs(folder / "a/b/c"));
  CHECK(std::filesystem::is_directory(folder / "a/b/c"));
  put(folder / "file", "");
  CHECK_FALSE(make_dirs(folder / "file"));
  const auto made = make_dirs(folder / "file/x");
  REQUIRE_FALSE(made);
  CHECK(made.error().message.find(folder / "file/x") != std::string::npos);
}

TEST_CASE("a file system that makes no folder is an error, whatever it says of the name") {
  const auto made = make_dirs("/proc/models/here");
  REQUIRE_FALSE(made);
  CHECK(made.error().message.find("making the folder /proc/models") != std::string::npos);
}

TEST_CASE("a folder beneath a link that leads nowhere is not made, and the error names the link") {
  TempFolder folder;
  const std::string link = folder / "link";
  std::filesystem::create_symlink("not mounted", link);
  for (const std::string& path : {link, link + "/", link + "/models/x"}) {
    CAPTURE(path);
    CHECK(dangling_link(path) == link);
    const auto made = make_dirs(path);
    REQUIRE_FALSE(made);
    CHECK(made.error().message.find(link + " is a link to a place that is not there") != std::string::npos);
  }
  std::filesystem::create_directory(folder / "not mounted");
  CHECK(dangling_link(link + "/models") == std::nullopt);
  CHECK(make_dirs(link + "/models"));
}

TEST_CASE("a lock has one holder at a time") {
  TempFolder folder;
  put(folder / "f", "");
  const auto first = open_file(folder / "f", O_RDWR);
  auto second = open_file(folder / "f", O_RDWR);
  CHECK(try_lock(first->get(), "f") == true);
  CHECK(try_lock(second->get(), "f") == false);
  second->reset();
  CHECK_FALSE(try_lock(second->get(), "f"));
}

TEST_CASE("paths are joined and taken apart") {
  CHECK(join("/a", "b") == "/a/b");
  CHECK(join("/", "b") == "/b");
  CHECK(parent_of("/a/b") == "/a");
  CHECK(parent_of("/a/b//") == "/a");
  CHECK(parent_of("/a") == "/");
  CHECK(parent_of("/") == "/");
  CHECK(parent_of("a") == ".");
}

TEST_CASE("a store's folders are real ones, made without the group's right to write") {
  TempFolder folder;
  const std::string root = folder / "models";
  CHECK_FALSE(open_store_folder(root, {"a"})->has_value());
  const mode_t old_umask = ::umask(002);
  const auto made = make_store_folder(root, {"a", "b"});
  ::umask(old_umask);
  REQUIRE(made);
  CHECK(made->distrust == "");
  CHECK(made->path == root + "/a/b");
  CHECK(mode_of(root + "/a/b") == 0755);
  CHECK_FALSE(open_store_folder(root, {"a", "c"})->has_value());
  std::filesystem::create_directory_symlink("a", root + "/link");
  CHECK_FALSE(open_store_folder(root, {"link", "b"}));
  CHECK_FALSE(make_store_folder(root, {"link", "b"}));
  put(root + "/file", "");
  CHECK_FALSE(make_store_folder(root, {"file"}));
  // The root itself may be a link.
  std::filesystem::create_directory_symlink(root, folder / "other");
  CHECK(open_store_folder(folder / "other", {"a", "b"})->has_value());
}

TEST_CASE("a folder that its group or everyone may write is told, wherever it is in the path") {
  TempFolder folder;
  const std::string root = folder / "models";
  REQUIRE(make_store_folder(root, {"a", "b"}));
  REQUIRE(::chmod((root + "/a").c_str(), 0775) == 0);
  CHECK((*open_store_folder(root, {"a", "b"}))->distrust == root + "/a may be written by its group");
  REQUIRE(::chmod(root.c_str(), 0757) == 0);
  CHECK((*open_store_folder(root, {"a", "b"}))->distrust == root + " may be written by everyone");
}

}  // namespace
}  // namespace ggufd::store
