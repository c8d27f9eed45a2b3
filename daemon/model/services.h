// What all models of a daemon share. Owned by the daemon, outlives every model.
#pragma once

#include <string>

#include "config/config.h"
#include "fetch/pull.h"
#include "loop/loop.h"
#include "model/admission.h"
#include "model/event_sink.h"
#include "store/blob_store.h"

namespace ggufd::model {

struct Services {
  loop::Loop& loop;
  fetch::Pulls& pulls;
  store::BlobStore store;
  config::Config config;
  std::string runtime_folder;
  EventSink& events;
  Admission& memory;
};

}  // namespace ggufd::model
