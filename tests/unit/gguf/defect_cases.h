// Files that are wrong in one way each, and what must be said of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/defect.h"

namespace ggufd::test {

struct DefectCase {
  std::string_view name;
  gguf::DefectCode code;
  std::string_view where;
  std::vector<std::byte> bytes;
  std::uint64_t file_bytes = 0;  // more than `bytes` where only the start of a large file is given
};

// Published bugs of other parsers, by their numbers.
std::vector<DefectCase> published_cases();
// Everything else that the reader and the validation find.
std::vector<DefectCase> other_cases();

}  // namespace ggufd::test
