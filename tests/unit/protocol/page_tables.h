// The field tables of docs/protocol.md and of the manual page, printed from the messages' own lists.
#pragma once

#include <map>
#include <string>

namespace ggufd {

// As Markdown, by the name that stands in the page's marker `<!-- fields: NAME -->`: "ready", "request load".
std::map<std::string, std::string> field_tables();

}  // namespace ggufd
