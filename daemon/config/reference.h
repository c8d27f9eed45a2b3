// The tables of docs/configuration.md, printed from the fields of config/config.h.
#pragma once

#include <string>

namespace ggufd::config {

// Markdown: a heading and a table for each object of the file, every key with its values, default and
// meaning.
std::string configuration_reference();

}  // namespace ggufd::config
