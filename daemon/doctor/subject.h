// What is examined, from whose point of view.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "config/environment.h"
#include "config/places.h"
#include "engine/llama_probe.h"
#include "protocol/answer.h"

namespace ggufd::doctor {

// The program that would run the models.
struct FoundEngine {
  std::string path;
  engine::LlamaBuild build;
};

struct PlannedModel {
  std::string name;
  Result<answer::Plan> plan;
};

struct Subject {
  // Those of the process that loads the models, or would: its limits, cgroup and rights are this process's.
  config::PlaceOptions places;
  config::Environment environment;
  uid_t uid = 0;
  Timestamp now;
  // Put before /proc, /sys, /dev and /etc: another folder in tests.
  std::string system_root = {};

  // What the daemon has read, where this process is the daemon.
  std::optional<config::Config> running = {};

  // What only those can ask who have a loop; nothing: it was not asked.
  std::optional<Result<FoundEngine>> engine = {};
  std::vector<PlannedModel> plans = {};  // of configured models whose header is at hand
};

}  // namespace ggufd::doctor
