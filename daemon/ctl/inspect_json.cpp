#include <fmt/format.h>

#include "ctl/inspect_facts.h"
#include "ctl/inspect_report.h"
#include "ctl/key_value.h"
#include "protocol/json_writer.h"

namespace ggufd::ctl {
namespace {

template <class T>
void field(JsonWriter& json, std::string_view key, const T& value) {
  json.key(key);
  json.value(value);
}

template <class T>
void field(JsonWriter& json, std::string_view key, const std::optional<T>& value) {
  json.key(key);
  if (value) {
    json.value(*value);
  } else {
    json.null();
  }
}

std::optional<std::string_view> unless_empty(std::string_view text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

// An offset of 0 is not known yet: no header is as short.
std::optional<std::uint64_t> unless_zero(std::uint64_t number) {
  return number == 0 ? std::nullopt : std::optional(number);
}

// 32 where the keys do not tell it, which is known once they were read to their end.
std::optional<std::uint32_t> alignment_of(const gguf::Header& header) {
  const bool is_known = header.data_offset != 0 || header.find_key("general.alignment") != nullptr;
  return is_known ? std::optional(header.alignment) : std::nullopt;
}

void write_keys(JsonWriter& json, const gguf::Header& header) {
  json.key("keys");
  json.begin_object();
  for (const gguf::Key& key : header.keys) {
    // Of several with one name, a defect, the first.
    if (header.find_key(key.name) != &key) continue;
    json.key(key.name);
    write_value(json, key.value);
  }
  json.end_object();
}

void write_tensors(JsonWriter& json, const ModelHeaders& headers) {
  json.key("tensors");
  json.begin_array();
  for (std::size_t i = 0; i < headers.files.size(); ++i) {
    for (const gguf::Tensor& tensor : headers.files[i].report.header.tensors) {
      json.begin_object();
      field(json, "name", tensor.name);
      field(json, "type", std::string_view(type_name(tensor)));
      json.key("shape");
      json.begin_array();
      for (const std::uint64_t extent : tensor.dimensions()) json.value(extent);
      json.end_array();
      field(json, "offset", tensor.offset);
      field(json, "bytes", tensor.bytes);
      if (headers.is_split()) field(json, "shard", i + 1);
      json.end_object();
    }
  }
  json.end_array();
}

void write_types(JsonWriter& json, const InspectFacts& facts) {
  json.key("types");
  json.begin_object();
  for (const auto& [name, use] : facts.types) {
    json.key(name);
    json.begin_object();
    field(json, "tensors", use.tensors);
    field(json, "bytes", use.bytes);
    json.end_object();
  }
  json.end_object();
}

void write_defects(JsonWriter& json, const ModelHeaders& headers) {
  json.key("defects");
  json.begin_array();
  for (const FileDefect& found : all_defects(headers)) {
    json.begin_object();
    field(json, "code", name_of(found.defect.code));
    field(json, "where", std::string_view(found.defect.where));
    field(json, "offset", found.defect.offset);
    field(json, "message", std::string_view(found.defect.message));
    if (headers.is_split()) field(json, "shard", found.file + 1);
    json.end_object();
  }
  json.end_array();
}

void write_shards(JsonWriter& json, const ModelHeaders& headers) {
  json.key("shards");
  json.begin_array();
  for (const FileHeader& file : headers.files) {
    json.begin_object();
    field(json, "path", std::string_view(file.path));
    field(json, "file_bytes", file.file_bytes);
    field(json, "data_offset", unless_zero(file.report.header.data_offset));
    json.end_object();
  }
  json.end_array();
  json.key("missing");
  json.begin_array();
  for (const std::string& path : headers.missing) json.value(std::string_view(path));
  json.end_array();
}

}  // namespace

std::string inspect_json(const ModelHeaders& headers) {
  const InspectFacts facts = facts_of(headers);
  const gguf::Header& first = headers.first();
  fmt::memory_buffer out;
  JsonWriter json(out);
  json.begin_object();
  field(json, "valid", headers.is_sound());
  field(json, "path", std::string_view(headers.files.front().path));
  field(json, "version", unless_zero(first.version));
  field(json, "alignment", alignment_of(first));
  field(json, "architecture", unless_empty(facts.architecture));
  field(json, "name", unless_empty(facts.name));
  field(json, "parameters", facts.parameters);
  field(json, "bits_per_weight", facts.bits_per_weight);
  field(json, "file_bytes", facts.file_bytes);
  field(json, "data_offset", unless_zero(first.data_offset));
  write_keys(json, first);
  write_tensors(json, headers);
  write_types(json, facts);
  write_defects(json, headers);
  field(json, "defects_found", facts.defects_found);
  if (headers.is_split()) write_shards(json, headers);
  json.end_object();
  return fmt::to_string(out) + "\n";
}

}  // namespace ggufd::ctl
