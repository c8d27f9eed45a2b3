#include <fmt/core.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "doctor/checks.h"
#include "doctor/group.h"
#include "doctor/text.h"

namespace ggufd::doctor {
namespace {

bool is_config_named(const Subject& subject) {
  return subject.places.config || subject.environment("GGUFD_CONFIG");
}

// What it names is run and read with the daemon's rights.
void check_config_owner(const std::string& path, const struct stat& status, uid_t uid, Group& group) {
  if (status.st_uid != uid && status.st_uid != 0) {
    group.fail("owner",
               fmt::format("{} belongs to user {}, who can have any program run", path, status.st_uid),
               fmt::format("chown it to user {} or root", uid));
  } else if ((status.st_mode & S_IWOTH) != 0) {
    group.fail("owner", fmt::format("{} may be written by everybody", path),
               fmt::format("chmod o-w {}", path));
  } else if ((status.st_mode & S_IWGRP) != 0) {
    group.warn("owner", fmt::format("{} may be written by its group {}", path, status.st_gid),
               fmt::format("chmod g-w {}, unless everybody in that group may have any program run", path));
  } else {
    group.ok("owner", fmt::format("only user {} may write it", status.st_uid));
  }
}

void tell_mistakes(const std::string& path, const std::vector<config::Mistake>& mistakes, Group& group) {
  group.fail("file", fmt::format("{} has {}", path, count_of(mistakes.size(), "mistake")),
             "correct them; `ggufd --check-config` looks again");
  for (const config::Mistake& mistake : mistakes) {
    group.fail(mistake.json_pointer.empty() ? "/" : mistake.json_pointer, mistake.message, "correct it");
  }
}

// Of a daemon: what it works by may be older than the file.
void compare_running(const config::Config& running, const std::optional<config::Config>& on_disk,
                     Group& group) {
  if (!on_disk) {
    group.fail("running", "the daemon goes on with what it read before, and would not start again",
               "correct the file, then run `ggufctl reload`");
  } else if (*on_disk != running) {
    group.warn("running", "the daemon runs what it read before the file was changed",
               "run `ggufctl reload`; what that names waits for the next start");
  } else {
    group.ok("running", "the daemon runs what the file says");
  }
}

}  // namespace

std::optional<config::Config> check_configuration(const Subject& subject, answer::Doctor& report) {
  Group group(report, "configuration");
  const auto place = config::find_config_file(subject.places, subject.environment, subject.uid);
  if (!place) {
    group.fail("file", place.error().message, "name one with --config");
    return subject.running;
  }
  struct stat status{};
  const bool is_there = stat(place->path.c_str(), &status) == 0;
  if (!is_there && !is_config_named(subject) && (errno == ENOENT || errno == ENOTDIR)) {
    const std::string of_service = subject.system_root + "/etc/ggufd/config.json";
    const bool has_service = stat(of_service.c_str(), &status) == 0;
    group.warn("file", fmt::format("there is none at {}: no model is configured", place->path),
               has_service
                   ? fmt::format("the service's is {}: name it with --config or GGUFD_CONFIG", of_service)
                   : "write one; a model needs a name and a source (man ggufd-config)");
    return config::Config();
  }
  auto loaded = config::load_config(place->path, subject.environment);
  if (!loaded) {
    tell_mistakes(place->path, loaded.error(), group);
  } else if (loaded->models.empty()) {
    group.warn("file", fmt::format("{} ({}): no model is configured", place->path, place->rule),
               "add one to /models; it needs a name and a source");
  } else {
    group.ok("file",
             fmt::format("{} ({}), {}", place->path, place->rule, count_of(loaded->models.size(), "model")));
  }
  if (is_there) check_config_owner(place->path, status, subject.uid, group);
  auto config = loaded ? std::optional(std::move(*loaded)) : std::nullopt;
  if (subject.running) {
    compare_running(*subject.running, config, group);
    if (!config) return subject.running;
  }
  return config;
}

}  // namespace ggufd::doctor
