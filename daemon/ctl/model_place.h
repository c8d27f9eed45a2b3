// What a word on the command line means to `inspect` and `plan`: a file, something to fetch, or a model's
// name.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "config/source.h"
#include "ctl/configured.h"
#include "ctl/context.h"
#include "protocol/error.h"

namespace ggufd::ctl {

struct ModelPlace {
  std::string title;                         // the word, or what it was taken for; not yet fit to be shown
  std::optional<config::ModelConfig> model;  // where it is a configured model's name
  // Files of this machine: one, or the shards of a split model in their order. Empty: `sources` has it.
  std::vector<std::string> paths;
  std::vector<config::Source> sources;  // network sources of the (first) file, the preferred first
};

// Whether the word can only be a model's name: it is no URL, has no '/', and no file is called so.
bool is_model_word(const std::string& word);

// A URL is what the configuration's `source` takes, a local file's included. A name is looked for in the
// configuration, then among the store's manifests; its file is the store's where that is complete, else its
// source's. Errors: bad_source; not_in_store for a name that nobody knows.
Result<ModelPlace> find_model(Context& context, const Configured& configured, const std::string& word);

// The source of shard `number`, counted from 1, where `first` names the first one of several; nothing
// otherwise.
std::optional<config::Source> shard_source(const config::Source& first, unsigned number);

}  // namespace ggufd::ctl
