// The store that the verbs ls, rm, gc and import work on, and what the configuration wants of it. These verbs
// need no daemon.
#pragma once

#include <optional>
#include <string>

#include "config/config.h"
#include "ctl/context.h"
#include "protocol/error.h"
#include "store/blob_store.h"
#include "store/removal.h"

namespace ggufd::ctl {

struct Configured {
  std::string path;                      // of the file
  std::optional<config::Config> config;  // nothing: there is no file, or it cannot be read
  std::string why_unreadable;            // a sentence; empty where the file was read, or nobody asked for one
};

// --config, $GGUFD_CONFIG or the default place. Only a file at the default place may be missing.
Configured read_configured(const Context& context);

// --store, else as the daemon finds it. Says on standard error where the configuration cannot be read, for
// then its models_home is not known.
Result<store::BlobStore> open_store(Context& context, const Configured& configured);

// What gc is to keep of it.
store::GarbageRules garbage_rules(const Configured& configured);

// Whether the journal's URL is one that this source is fetched from.
bool is_url_of(const config::Source& source, const std::string& url);

}  // namespace ggufd::ctl
