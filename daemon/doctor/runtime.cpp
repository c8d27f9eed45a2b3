#include <fmt/core.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "config/places.h"
#include "doctor/checks.h"
#include "doctor/group.h"
#include "memory/kernel_file.h"
#include "store/file.h"

namespace ggufd::doctor {
namespace {

// A longer name than the ones there are should still fit.
constexpr std::size_t spare_path_bytes = 8;

void check_runtime_folder(const std::string& path, uid_t uid, bool serves_others, Group& group) {
  struct stat status{};
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return group.ok("folder", fmt::format("{} is not there yet; ggufd makes it", path));
    return group.fail("folder", system_error("looking at " + path, errno).message,
                      "name a folder that can be reached with --runtime-dir");
  }
  const auto mode = static_cast<unsigned>(status.st_mode & 07777U);
  if (S_ISLNK(status.st_mode)) {
    group.fail("folder", path + " is a symbolic link, which ggufd refuses",
               "remove it, or name the folder itself with --runtime-dir");
  } else if (!S_ISDIR(status.st_mode)) {
    group.fail("folder", path + " is no folder", "remove it, or name another with --runtime-dir");
  } else if (status.st_uid != uid) {
    group.fail("folder", fmt::format("{} belongs to user {}, not to user {}", path, status.st_uid, uid),
               "remove it, or name another with --runtime-dir");
  } else if ((mode & 0022U) != 0) {
    group.fail("folder", fmt::format("{} may be written by others (mode {:04o})", path, mode),
               fmt::format("chmod 0700 {}", path));
  } else if ((mode & 0077U) != 0 && !(serves_others && mode == 0711U)) {
    group.warn("folder", fmt::format("{} may be looked into by others (mode {:04o})", path, mode),
               fmt::format("chmod 0700 {}, unless it serves something else as well", path));
  } else {
    group.ok("folder", fmt::format("{}, mode {:04o}", path, mode));
  }
}

void check_path_length(const std::string& folder, const std::optional<config::Config>& config, Group& group) {
  std::size_t longest = (folder + "/admin.sock").size();
  if (config) {
    for (const config::ModelConfig& model : config->models) {
      longest = std::max(longest, (folder + "/infer." + model.name + ".sock").size());
    }
  }
  constexpr std::size_t limit = config::max_socket_path_bytes;
  const std::string found = fmt::format("the longest socket path has {} of {} bytes", longest, limit);
  if (longest > limit) {
    group.fail("socket paths", found, "choose a shorter folder with --runtime-dir, or a shorter model name");
  } else if (longest + spare_path_bytes > limit) {
    group.warn("socket paths", found + ": a model with a slightly longer name could not be served",
               "choose a shorter folder with --runtime-dir");
  } else {
    group.ok("socket paths", found);
  }
}

// Who holds the flock of a file, by the kernel's list; taking it to find out could keep a daemon from
// starting. "1: FLOCK  ADVISORY  WRITE 708 08:02:1052 0 EOF" (proc(5)): devices in hexadecimal.
std::optional<std::uint64_t> flock_holder(std::string_view locks, const struct stat& file) {
  const std::string id = fmt::format("{:02x}:{:02x}:{}", major(file.st_dev), minor(file.st_dev), file.st_ino);
  while (!locks.empty()) {
    const std::string_view line = locks.substr(0, locks.find('\n'));
    locks.remove_prefix(std::min(line.size() + 1, locks.size()));
    const std::size_t at = line.find(" " + id + " ");
    if (at == std::string_view::npos || line.find("FLOCK") == std::string_view::npos) continue;
    const std::size_t begin = line.find_last_of(' ', at - 1);
    return memory::leading_number(line.substr(begin == std::string_view::npos ? 0 : begin));
  }
  return std::nullopt;
}

// Whether a daemon holds it.
bool check_lock(const std::string& path, const Subject& subject, Group& group) {
  struct stat status{};
  if (lstat(path.c_str(), &status) != 0) {
    group.ok("lock", "free: no daemon runs in this folder");
    return false;
  }
  if (!S_ISREG(status.st_mode) || status.st_uid != subject.uid) {
    group.fail("lock", fmt::format("{} is not a file of user {}, so ggufd will not start", path, subject.uid),
               "remove it");
    return false;
  }
  const auto locks = memory::read_kernel_file(subject.system_root + "/proc/locks");
  if (!locks) {
    group.skip("lock", locks.error().message);
    return false;
  }
  const auto text = memory::read_kernel_file(path);
  // 0 is nobody's.
  const std::uint64_t named = text ? memory::leading_number(*text).value_or(0) : 0;
  const auto holder = flock_holder(*locks, status);
  if (!holder) {
    group.ok("lock", "free: no daemon runs in this folder");
    return false;
  }
  if (named == *holder) {
    group.ok("lock", fmt::format("held by process {}", *holder));
  } else {
    group.warn("lock", fmt::format("held by process {}, while the file names process {}", *holder, named),
               "a daemon of another container shares this folder, or something else holds its lock: give "
               "each daemon a --runtime-dir of its own");
  }
  return true;
}

struct SocketRule {
  const char* name;
  bool may_be_for_others;
};

void check_socket(const std::string& path, const SocketRule& rule, const Subject& subject, bool is_held,
                  Group& group) {
  struct stat status{};
  if (lstat(path.c_str(), &status) != 0) {
    if (!is_held) return group.ok(rule.name, "not there: no daemon runs");
    return group.fail(rule.name, fmt::format("{} is gone, while a daemon runs: nobody can reach it", path),
                      "restart the daemon");
  }
  const auto mode = static_cast<unsigned>(status.st_mode & 0777U);
  if (!S_ISSOCK(status.st_mode)) {
    group.fail(rule.name, path + " is no socket, so ggufd will not start", "remove it if it is of no use");
  } else if (status.st_uid != subject.uid) {
    group.fail(rule.name,
               fmt::format("{} belongs to user {}, not to user {}", path, status.st_uid, subject.uid),
               "remove it, or name another folder with --runtime-dir");
  } else if (!is_held) {
    group.warn(rule.name, path + " was left by a daemon that has died",
               "nothing has to be done: the next start replaces it");
  } else if ((mode & 0077U) != 0 && !rule.may_be_for_others) {
    group.warn(rule.name, fmt::format("{} has the mode {:04o}; ggufd gave it 0600", path, mode),
               fmt::format("chmod 0600 {}", path));
  } else {
    group.ok(rule.name, fmt::format("{}, mode {:04o}", path, mode));
  }
}

// Under their names a client would wait for an engine that is gone.
void check_model_sockets(const std::string& folder, bool is_held, Group& group) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("infer.") && name.ends_with(".sock") && entry.is_socket(error))
      names.push_back(name);
  }
  std::ranges::sort(names);
  const std::string listed = fmt::format("{}", fmt::join(names, ", "));
  if (names.empty()) {
    group.ok("infer.sock", "none there");
  } else if (is_held) {
    group.ok("infer.sock", listed);
  } else {
    group.warn("infer.sock", fmt::format("{} in {}: left by a daemon that has died", listed, folder),
               "nothing has to be done: the next start removes them");
  }
}

}  // namespace

void check_runtime(const Subject& subject, const std::optional<config::Config>& config,
                   answer::Doctor& report) {
  Group group(report, "runtime");
  const auto place = config::find_runtime_folder(subject.places, subject.environment, subject.uid);
  if (!place) return group.fail("folder", place.error().message, "name one with --runtime-dir");
  const bool serves_others =
      config && (!config->admin.allow_uids.empty() || !config->admin.allow_gids.empty());
  check_runtime_folder(place->path, subject.uid, serves_others, group);
  check_path_length(place->path, config, group);
  const auto files = config::runtime_files(place->path);
  if (!files) return;  // too long, and told above
  const bool is_held = check_lock(files->lock, subject, group);
  check_socket(files->admin_socket, {"admin.sock", serves_others}, subject, is_held, group);
  check_socket(files->http_socket, {"http.sock", false}, subject, is_held, group);
  check_model_sockets(place->path, is_held, group);
}

}  // namespace ggufd::doctor
