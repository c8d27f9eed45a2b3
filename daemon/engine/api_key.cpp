#include "engine/api_key.h"

#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

#include "engine/llama_command.h"

namespace ggufd::engine {

std::string api_key_of(const std::vector<std::string>& arguments) {
  if (const auto keys = argument_value(arguments, {"--api-key"})) {
    return std::string(keys->substr(0, keys->find(',')));
  }
  const std::string path(argument_value(arguments, {"--api-key-file"}).value_or(""));
  std::error_code ignored;
  // A pipe would be read by us instead of by llama-server, and might never end.
  if (!std::filesystem::is_regular_file(path, ignored)) return "";
  std::ifstream file(path);
  std::string key;
  while (key.empty() && std::getline(file, key)) continue;
  return key;
}

}  // namespace ggufd::engine
