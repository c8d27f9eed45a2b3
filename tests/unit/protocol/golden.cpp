#include "golden.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace ggufd::golden {

std::string read_file(std::string_view path) {
  const auto full = std::filesystem::path(GGUFD_GOLDEN_DIR) / path;
  std::ifstream file(full, std::ios::binary);
  REQUIRE_MESSAGE(file, full.string(), " cannot be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> lines(std::string_view name) {
  const std::string text = read_file(std::string(name) + ".ndjson");
  std::vector<std::string> result;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = text.find('\n', begin);
    REQUIRE_MESSAGE(end != std::string::npos, name, ".ndjson must end with a newline");
    result.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return result;
}

}  // namespace ggufd::golden
