// What all models of a daemon share. Owned by the daemon, outlives every model.
#pragma once

#include <cstdint>
#include <string>

#include "config/config.h"
#include "engine/llama_host.h"
#include "fetch/pull.h"
#include "loop/loop.h"
#include "model/admission.h"
#include "model/event_sink.h"
#include "store/blob_store.h"

namespace ggufd::model {

// When a load is tried again by itself whose error passes (a network that is down, a disk that is full):
// after the first time, doubling to the last.
struct RetryTimes {
  std::uint64_t first_ms = 30'000;
  std::uint64_t last_ms = 600'000;
};

struct Services {
  loop::Loop& loop;
  fetch::Pulls& pulls;
  store::BlobStore store;
  config::Config config;
  std::string runtime_folder;
  EventSink& events;
  Admission& memory;
  engine::LlamaHost& llama;
  RetryTimes retry = {};
};

}  // namespace ggufd::model
