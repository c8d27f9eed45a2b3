// What `inspect` counts over all files of a model. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ctl/model_headers.h"
#include "gguf/defect.h"

namespace ggufd::ctl {

struct TypeUse {
  std::uint64_t tensors = 0;
  std::uint64_t bytes = 0;  // those of a defective tensor are not known and not counted
};

struct InspectFacts {
  std::string architecture;                 // printable; empty where the file has none
  std::string name;                         // likewise
  std::optional<std::uint64_t> parameters;  // nothing where a table of tensors was not read, or is defective
  std::optional<double> bits_per_weight;
  std::optional<std::uint64_t> file_bytes;  // of all files at hand
  std::uint64_t tensors = 0;
  std::uint64_t tensor_bytes = 0;
  std::map<std::string, TypeUse> types;
  std::uint64_t defects_found = 0;  // with those beyond gguf::Defects::limit a file
};

InspectFacts facts_of(const ModelHeaders& headers);

// "q4_K"; of a type that is none of today's its old name or "type 77".
std::string type_name(const gguf::Tensor& tensor);

// A finding and the file it is in.
struct FileDefect {
  std::size_t file = 0;  // index into ModelHeaders::files
  gguf::Defect defect;
};
// Those of the files in their order, then those of the set, which count as the first file's.
std::vector<FileDefect> all_defects(const ModelHeaders& headers);

}  // namespace ggufd::ctl
