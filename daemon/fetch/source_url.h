// From a source, as the configuration names it, to the URL that its bytes are fetched from.
#pragma once

#include <string>

#include "config/config.h"
#include "config/source.h"

namespace ggufd::fetch {

// A network source's URL. Hugging Face: <endpoint>/<org>/<repo>/resolve/<revision>/<path>, each part
// percent-encoded (https://huggingface.co/docs/hub/en/models-downloading). The source must not be a local
// file.
std::string source_url(const config::Source& source, const config::FetchConfig& settings);

}  // namespace ggufd::fetch
