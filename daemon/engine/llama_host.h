// What the llama-servers of all models share. Owned by the daemon, outlives every engine.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/llama_probe.h"
#include "fetch/curl_loop.h"
#include "loop/loop.h"

namespace ggufd::engine {

// How long is waited for what; tests wait less.
struct LlamaTimes {
  std::uint64_t answer_limit_ms = 2000;      // for one answer of /health; longer is a miss
  std::uint64_t ready_interval_ms = 10'000;  // between two questions while it is ready
  std::uint32_t misses_max = 3;              // in a row: it hangs
  std::uint64_t slots_interval_ms = 50;      // between two looks at busy slots while it is stopped
};

struct LlamaHost {
  LlamaHost(loop::Loop& on_loop, fetch::CurlLoop& with_curl, std::vector<std::string> own_environment,
            std::string in_folder, std::optional<rlim_t> limit);

  loop::Loop& loop;
  fetch::CurlLoop& curl;
  std::string path_variable;             // the daemon's PATH
  std::vector<std::string> environment;  // what an engine sees (engine/launcher.h)
  std::string runtime_folder;
  std::optional<rlim_t> open_files;  // the soft limit that the daemon was started with
  LlamaProbe probe;
  LlamaTimes times = {};
};

}  // namespace ggufd::engine
