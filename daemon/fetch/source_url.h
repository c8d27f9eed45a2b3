// From a source, as the configuration names it, to the URL that its bytes are fetched from.
#pragma once

#include <string>
#include <string_view>

#include "config/config.h"
#include "config/source.h"

namespace ggufd::fetch {

inline constexpr std::string_view default_hub_endpoint = "https://huggingface.co";

// <endpoint>/<org>/<repo>/resolve/<revision>/<path>, each part percent-encoded
// (https://huggingface.co/docs/hub/en/models-downloading). `endpoint` is without a slash at the end.
std::string hub_url(const config::HuggingFaceSource& source, std::string_view endpoint,
                    std::string_view revision);

// A network source's URL, a Hugging Face file's at the endpoint of the configuration. The source must not be
// a local file.
std::string source_url(const config::Source& source, const config::FetchConfig& settings);

}  // namespace ggufd::fetch
