#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "ctl/human.h"
#include "ctl/inspect_facts.h"
#include "ctl/inspect_report.h"
#include "ctl/key_value.h"
#include "ctl/page.h"
#include "ctl/table.h"
#include "protocol/utf8.h"

namespace ggufd::ctl {
namespace {

constexpr std::size_t indent = 2;

// "v3, alignment 32, 2.3 GiB, data from byte 5947648"
std::string header_line(const FileHeader& file) {
  const gguf::Header& header = file.report.header;
  std::string text = header.version == 0 ? "no GGUF header" : fmt::format("GGUF v{}", header.version);
  if (header.data_offset != 0) text += fmt::format(", alignment {}", header.alignment);
  text += ", " + (file.file_bytes ? human_bytes(*file.file_bytes) : std::string("of unknown size"));
  if (header.data_offset != 0) text += fmt::format(", data from byte {}", header.data_offset);
  return text;
}

// "qwen3, Qwen3 4B, 4.02 B parameters, 4.97 bits a weight"; empty where nothing is known.
std::string model_line(const InspectFacts& facts) {
  std::vector<std::string> parts;
  if (!facts.architecture.empty()) parts.push_back(facts.architecture);
  if (!facts.name.empty()) parts.push_back(facts.name);
  if (facts.parameters) parts.push_back(human_count(*facts.parameters) + " parameters");
  if (facts.bits_per_weight) parts.push_back(fmt::format("{:.2f} bits a weight", *facts.bits_per_weight));
  return fmt::format("{}", fmt::join(parts, ", "));
}

void add_files(Page& page, const ModelHeaders& headers, const InspectFacts& facts) {
  for (const FileHeader& file : headers.files) {
    page.line(0, printable(file.path), Colour::bold);
    page.wrapped(indent, header_line(file));
  }
  for (const std::string& path : headers.missing)
    page.wrapped(0, printable(path) + ": missing", Colour::yellow);
  if (const std::string model = model_line(facts); !model.empty()) page.wrapped(indent, model);
}

void add_keys(Page& page, const gguf::Header& header) {
  if (header.keys.empty()) return;
  page.title(fmt::format("Keys ({})", header.keys.size()));
  std::size_t longest = 0;
  for (const gguf::Key& key : header.keys)
    longest = std::max(longest, columns_of(printable(utf8_prefix(key.name, page.columns() * 4))));
  const std::size_t name_columns = std::min(longest, page.columns() * 11 / 20);
  const std::size_t value_columns = page.columns() - std::min(page.columns(), name_columns + 2 * indent);
  for (const gguf::Key& key : header.keys) {
    const std::string name =
        cut(printable(utf8_prefix(key.name, page.columns() * 4)), name_columns, page.style().ellipsis());
    page.line(indent, name + std::string(name_columns - columns_of(name) + indent, ' ') +
                          value_text(key.value, value_columns, page.style()));
  }
}

std::string share_of(std::uint64_t bytes, std::uint64_t total_bytes) {
  if (total_bytes == 0) return "-";
  return fmt::format("{:.1f} %", 100 * static_cast<double>(bytes) / static_cast<double>(total_bytes));
}

void add_types(Page& page, const InspectFacts& facts) {
  if (facts.types.empty()) return;
  page.title(fmt::format("Tensors ({}, {})", facts.tensors, human_bytes(facts.tensor_bytes)));
  std::vector<std::pair<std::string, TypeUse>> types(facts.types.begin(), facts.types.end());
  // The one that takes the most first.
  std::ranges::sort(types, [](const auto& a, const auto& b) {
    return a.second.bytes != b.second.bytes ? a.second.bytes > b.second.bytes : a.first < b.first;
  });
  std::vector<std::vector<Cell>> rows;
  for (const auto& [name, use] : types) {
    rows.push_back({{name},
                    {fmt::format("{}", use.tensors)},
                    {human_bytes(use.bytes)},
                    {share_of(use.bytes, facts.tensor_bytes)}});
  }
  page.table({{"TYPE", 0}, {"TENSORS", 2, true}, {"SIZE", 0, true}, {"SHARE", 1, true}}, rows, indent);
}

void add_tensors(Page& page, const ModelHeaders& headers) {
  std::vector<std::vector<Cell>> rows;
  for (const FileHeader& file : headers.files) {
    for (const gguf::Tensor& tensor : file.report.header.tensors) {
      rows.push_back({{printable(tensor.name)},
                      {type_name(tensor)},
                      {fmt::format("{}", fmt::join(tensor.dimensions(), " x "))},
                      {human_bytes(tensor.bytes)},
                      {fmt::format("{}", tensor.offset)}});
    }
  }
  if (rows.empty()) return;
  page.blank();
  page.table({{"TENSOR", 0}, {"TYPE", 3}, {"SHAPE", 2}, {"SIZE", 4, true}, {"OFFSET", 1, true}}, rows,
             indent);
}

void add_defects(Page& page, const ModelHeaders& headers, const InspectFacts& facts) {
  if (facts.defects_found == 0) return;
  page.title(fmt::format("Defects ({})", facts.defects_found));
  const auto defects = all_defects(headers);
  for (const FileDefect& found : defects) {
    const gguf::Defect& defect = found.defect;
    std::string head = fmt::format("{}  {}", name_of(defect.code), printable(defect.where));
    if (defect.offset != 0) head += fmt::format(", at byte {}", defect.offset);
    if (headers.is_split()) head += fmt::format(", in file {}", found.file + 1);
    page.wrapped(indent, head, Colour::red);
    page.wrapped(2 * indent, printable(defect.message));
  }
  if (facts.defects_found > defects.size())
    page.wrapped(indent, fmt::format("and {} more", facts.defects_found - defects.size()), Colour::red);
}

void add_verdict(Page& page, const ModelHeaders& headers, const InspectFacts& facts) {
  page.blank();
  if (headers.is_sound()) {
    page.wrapped(0, "valid: no defect was found", Colour::green);
  } else if (facts.defects_found == 0 && !headers.missing.empty()) {
    page.wrapped(0, "not whole: no defect was found, and files of this model are missing", Colour::yellow);
  } else {
    const char* plural = facts.defects_found == 1 ? "" : "s";
    page.wrapped(0, fmt::format("invalid: {} defect{}", facts.defects_found, plural), Colour::red);
  }
}

}  // namespace

std::string inspect_text(const ModelHeaders& headers, bool lists_tensors, const Terminal& terminal) {
  const InspectFacts facts = facts_of(headers);
  Page page(terminal);
  add_files(page, headers, facts);
  add_keys(page, headers.first());
  add_types(page, facts);
  if (lists_tensors) add_tensors(page, headers);
  add_defects(page, headers, facts);
  add_verdict(page, headers, facts);
  return page.text();
}

}  // namespace ggufd::ctl
