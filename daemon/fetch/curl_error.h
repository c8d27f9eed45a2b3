// What curl's results mean for us.
#pragma once

#include <curl/curl.h>

#include <string>
#include <string_view>

#include "protocol/error.h"

namespace ggufd::fetch {

// `url` is shown without credentials and query; `detail` is curl's own text (CURLOPT_ERRORBUFFER), may be
// empty.
Error curl_error(CURLcode code, std::string_view url, std::string_view detail);

// The URL as frames, logs and files may show it: without user, password, query and fragment.
std::string display_url(std::string_view url);

}  // namespace ggufd::fetch
