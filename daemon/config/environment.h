// The environment variables and the home folder, behind one function so that tests bring their own.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/error.h"

namespace ggufd::config {

// The value of a variable; nothing where it is not set. An empty value counts as not set.
using Environment = std::function<std::optional<std::string>(const char* name)>;

// The environment of this process. Reads it at each call.
Environment process_environment();

// $HOME where it is an absolute path, else what the user database says about `uid`. `io` where neither knows.
Result<std::string> home_folder(const Environment& environment, uid_t uid);

// A leading "~" or "~/" becomes the home folder of the process's user; "~name" is not expanded. Everything
// else is returned as it is.
Result<std::string> expand_home(std::string_view path, const Environment& environment);

}  // namespace ggufd::config
