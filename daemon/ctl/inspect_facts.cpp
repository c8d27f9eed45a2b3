#include "ctl/inspect_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>

#include "ctl/human.h"
#include "gguf/tensor_type.h"

namespace ggufd::ctl {
namespace {

std::uint64_t add(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::uint64_t>::max() : sum;
}

bool is_table_known(const gguf::Header& header) {
  return header.data_offset != 0 &&
         std::ranges::all_of(header.tensors, [](const gguf::Tensor& tensor) { return tensor.elements != 0; });
}

}  // namespace

std::string type_name(const gguf::Tensor& tensor) {
  if (tensor.type != nullptr) return std::string(tensor.type->name);
  if (const auto removed = gguf::removed_tensor_type(tensor.type_id)) return std::string(*removed);
  return fmt::format("type {}", tensor.type_id);
}

InspectFacts facts_of(const ModelHeaders& headers) {
  InspectFacts facts;
  facts.architecture = printable(headers.first().architecture());
  const auto name = headers.first().find<std::string_view>("general.name");
  if (name && *name) facts.name = printable(**name);
  facts.file_bytes = 0;
  facts.defects_found = headers.set_defects.found();
  std::uint64_t parameters = 0;
  bool are_parameters_known = headers.missing.empty();
  bool are_bytes_known = true;
  for (const FileHeader& file : headers.files) {
    const gguf::Header& header = file.report.header;
    if (facts.file_bytes && file.file_bytes) {
      facts.file_bytes = add(*facts.file_bytes, *file.file_bytes);
    } else {
      facts.file_bytes.reset();
    }
    facts.defects_found += file.report.defects.found();
    facts.tensors += header.tensors.size();
    facts.tensor_bytes = add(facts.tensor_bytes, header.tensor_bytes());
    parameters = add(parameters, header.parameter_count());
    are_parameters_known = are_parameters_known && is_table_known(header);
    for (const gguf::Tensor& tensor : header.tensors) {
      TypeUse& use = facts.types[type_name(tensor)];
      ++use.tensors;
      use.bytes = add(use.bytes, tensor.bytes);
      are_bytes_known = are_bytes_known && tensor.bytes != 0;
    }
  }
  if (are_parameters_known) facts.parameters = parameters;
  if (are_parameters_known && are_bytes_known && parameters > 0)
    facts.bits_per_weight = 8 * static_cast<double>(facts.tensor_bytes) / static_cast<double>(parameters);
  return facts;
}

std::vector<FileDefect> all_defects(const ModelHeaders& headers) {
  std::vector<FileDefect> found;
  for (std::size_t i = 0; i < headers.files.size(); ++i) {
    for (const gguf::Defect& defect : headers.files[i].report.defects.list()) found.push_back({i, defect});
  }
  for (const gguf::Defect& defect : headers.set_defects.list()) found.push_back({0, defect});
  return found;
}

}  // namespace ggufd::ctl
