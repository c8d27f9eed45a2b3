// The check of one model's bytes: whether they are here, and may be believed.
#pragma once

#include "config/config.h"
#include "doctor/group.h"
#include "doctor/store_folder.h"
#include "store/blob_store.h"

namespace ggufd::doctor {

// Adds to `to_fetch` what is not here. Blocks.
void check_model_bytes(const store::BlobStore& store, const config::Config& config,
                       const config::ModelConfig& model, Timestamp now, Group& group, ToFetch& to_fetch);

}  // namespace ggufd::doctor
