#include <fcntl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "support.h"

namespace ggufd::doctor::test {
namespace {

void make_socket(const std::string& path, mode_t mode) {
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  REQUIRE(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  close(fd);
  REQUIRE(chmod(path.c_str(), mode) == 0);
}

// As /proc/locks would have it.
void hold_lock(const Scene& scene, const char* pid_in_file, int holder) {
  scene.put("run/ggufd.lock", pid_in_file);
  struct stat status{};
  REQUIRE(stat((scene / "run/ggufd.lock").c_str(), &status) == 0);
  scene.put("root/proc/locks",
            fmt::format("1: POSIX  ADVISORY  WRITE 9 00:01:1 0 EOF\n"
                        "2: FLOCK  ADVISORY  WRITE {} {:02x}:{:02x}:{} 0 EOF\n",
                        holder, major(status.st_dev), minor(status.st_dev), status.st_ino));
}

TEST_CASE("runtime, folder: one that is not there yet is made, one that is open to others is not") {
  Scene scene;
  std::filesystem::remove(scene / "run");
  CHECK_FINDING(scene.look("runtime", "folder"), Outcome::ok, "ggufd makes it");
  scene.make_folder("run", 0700);
  CHECK_FINDING(scene.look("runtime", "folder"), Outcome::ok, "0700");
  scene.make_folder("run", 0755);
  CHECK_FINDING(scene.look("runtime", "folder"), Outcome::warn, "looked into by others");
  scene.make_folder("run", 0777);
  CHECK_FINDING(scene.look("runtime", "folder"), Outcome::fail, "written by others");
}

TEST_CASE("runtime, folder: a link, a file and another user's fail") {
  Scene scene;
  Subject subject = scene.subject();
  subject.uid = geteuid() + 1;
  CHECK_FINDING(check_of(examine(subject), "runtime", "folder"), Outcome::fail, "belongs to user");
  std::filesystem::remove(scene / "run");
  scene.put("run", "");
  CHECK_FINDING(scene.look("runtime", "folder"), Outcome::fail, "no folder");
  std::filesystem::remove(scene / "run");
  std::filesystem::create_symlink(scene / "store", scene / "run");
  CHECK_FINDING(scene.look("runtime", "folder"), Outcome::fail, "symbolic link");
}

TEST_CASE("runtime, folder: 0711 is for those whom the configuration lets in") {
  Scene scene;
  scene.make_folder("run", 0711);
  CHECK_FINDING(scene.look("runtime", "folder"), Outcome::warn, "0711");
  scene.configure(R"({"models": [], "admin": {"allow_uids": [1000]}})");
  CHECK_FINDING(scene.look("runtime", "folder"), Outcome::ok, "0711");
}

TEST_CASE("runtime, socket paths: the kernel takes 107 bytes") {
  Scene scene;
  Subject subject = scene.subject();
  subject.places.runtime_dir = "/" + std::string(107 - 12 - 4, 'x');  // with "/admin.sock"
  CHECK_FINDING(check_of(examine(subject), "runtime", "socket paths"), Outcome::warn, "103 of 107");
  subject.places.runtime_dir = "/" + std::string(100, 'x');
  CHECK_FINDING(check_of(examine(subject), "runtime", "socket paths"), Outcome::fail, "112 of 107");
  CHECK_FINDING(scene.look("runtime", "socket paths"), Outcome::ok, "of 107");
}

TEST_CASE("runtime, lock: free, held, and held by somebody else than it says") {
  Scene scene;
  CHECK_FINDING(scene.look("runtime", "lock"), Outcome::ok, "free");
  hold_lock(scene, "708\n", 708);
  CHECK_FINDING(scene.look("runtime", "lock"), Outcome::ok, "held by process 708");
  hold_lock(scene, "1\n", 708);
  CHECK_FINDING(scene.look("runtime", "lock"), Outcome::warn, "the file names process 1");
  std::filesystem::remove(scene / "run/ggufd.lock");
  std::filesystem::create_symlink(scene / "config.json", scene / "run/ggufd.lock");
  CHECK_FINDING(scene.look("runtime", "lock"), Outcome::fail, "will not start");
}

TEST_CASE("runtime, sockets: left over, open to others, gone, and no socket at all") {
  for (const char* name : {"admin.sock", "http.sock"}) {
    CAPTURE(name);
    Scene scene;
    const std::string path = scene / ("run/" + std::string(name));
    CHECK_FINDING(scene.look("runtime", name), Outcome::ok, "no daemon runs");
    make_socket(path, 0600);
    CHECK_FINDING(scene.look("runtime", name), Outcome::warn, "has died");
    hold_lock(scene, "708\n", 708);
    CHECK_FINDING(scene.look("runtime", name), Outcome::ok, "0600");
    REQUIRE(chmod(path.c_str(), 0666) == 0);
    CHECK_FINDING(scene.look("runtime", name), Outcome::warn, "0666");
    std::filesystem::remove(path);
    CHECK_FINDING(scene.look("runtime", name), Outcome::fail, "is gone");
    scene.put("run/" + std::string(name), "");
    CHECK_FINDING(scene.look("runtime", name), Outcome::fail, "no socket");
  }
}

TEST_CASE("runtime, infer.sock: the models' sockets are told where nobody is behind them any more") {
  Scene scene;
  CHECK_FINDING(scene.look("runtime", "infer.sock"), Outcome::ok, "none there");
  make_socket(scene / "run/infer.sock", 0600);
  make_socket(scene / "run/infer.m.sock", 0600);
  scene.put("run/infer.notes.sock", "no socket");
  CHECK_FINDING(scene.look("runtime", "infer.sock"), Outcome::warn, "infer.m.sock, infer.sock in ");
  hold_lock(scene, "708\n", 708);
  CHECK_FINDING(scene.look("runtime", "infer.sock"), Outcome::ok, "infer.m.sock, infer.sock");
}

TEST_CASE("runtime, admin.sock: others may be let in") {
  Scene scene;
  make_socket(scene / "run/admin.sock", 0666);
  hold_lock(scene, "708\n", 708);
  scene.configure(R"({"models": [], "admin": {"allow_uids": [1000]}})");
  CHECK_FINDING(scene.look("runtime", "admin.sock"), Outcome::ok, "0666");
}

}  // namespace
}  // namespace ggufd::doctor::test
