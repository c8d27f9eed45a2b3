#include "gguf/validate.h"

#include <fmt/format.h>

#include <array>
#include <initializer_list>
#include <limits>
#include <utility>

#include "gguf/architecture.h"
#include "gguf/model_shape.h"
#include "gguf/split.h"

namespace ggufd::gguf {
namespace {

struct TypedKey {
  std::string_view name;
  ValueType type;
};

// Keys of every model that are read by name, here or by an engine. Types from ggml's docs/gguf.md and
// llama.cpp.
constexpr auto general_keys = std::to_array<TypedKey>({
    {"general.architecture", ValueType::string},
    {"general.type", ValueType::string},
    {"general.name", ValueType::string},
    {"general.file_type", ValueType::u32},
    {"general.quantization_version", ValueType::u32},
    {"tokenizer.ggml.model", ValueType::string},
    {"tokenizer.ggml.pre", ValueType::string},
    {"tokenizer.ggml.tokens", ValueType::array},
    {"tokenizer.ggml.scores", ValueType::array},
    {"tokenizer.ggml.token_type", ValueType::array},
    {"tokenizer.ggml.merges", ValueType::array},
    {"tokenizer.ggml.add_bos_token", ValueType::boolean},
    {"tokenizer.ggml.add_eos_token", ValueType::boolean},
    {"tokenizer.ggml.add_space_prefix", ValueType::boolean},
    {"tokenizer.chat_template", ValueType::string},
    {"split.no", ValueType::u16},
    {"split.count", ValueType::u16},
    {"split.tensors.count", ValueType::i32},
});

// Keys after "<architecture>."; all u32.
constexpr auto model_keys = std::to_array<std::string_view>({
    "block_count",
    "context_length",
    "embedding_length",
    "expert_count",
    "expert_used_count",
    "vocab_size",
});

// Without these no engine loads a model of an architecture that we know.
constexpr auto required_model_keys =
    std::to_array<std::string_view>({"block_count", "context_length", "embedding_length"});

void check_type(const Key& key, ValueType expected, Defects& defects) {
  if (key.value.type() == expected) return;
  defects.add(DefectCode::wrong_type, key.name, key.offset, "key {} is of type {} where {} is expected",
              printable(key.name), name_of(key.value.type()), name_of(expected));
}

void check_types(const Header& header, Defects& defects) {
  for (const TypedKey& known : general_keys) {
    if (const Key* key = header.find_key(known.name)) check_type(*key, known.type, defects);
  }
  for (const std::string_view suffix : model_keys) {
    if (const Key* key = header.find_key(header.model_key(suffix))) check_type(*key, ValueType::u32, defects);
  }
}

// A later file of a split model has the general keys at most.
bool is_later_shard(const Header& header) {
  const auto no = header.find<std::uint16_t>("split.no");
  return no && no->value_or(0) > 0;
}

void check_required(const Header& header, Defects& defects) {
  if (is_later_shard(header)) return;
  const auto require = [&](std::string_view name) {
    if (header.find_key(name) != nullptr) return;
    defects.add(DefectCode::missing_key, name, 0, "key {} is missing", printable(name));
  };
  require("general.architecture");
  const auto type = header.find<std::string_view>("general.type");
  const bool is_model = type && type->value_or("model") == "model";
  if (!is_model || find_architecture(header.architecture()) == nullptr) return;
  for (const std::string_view suffix : required_model_keys) require(header.model_key(suffix));
}

void check_limit(const Header& header, std::string_view suffix, std::uint32_t limit, Defects& defects) {
  const Key* key = header.find_key(header.model_key(suffix));
  const std::uint32_t value = key != nullptr ? key->value.as<std::uint32_t>().value_or(0) : 0;
  if (value <= limit) return;
  defects.add(DefectCode::limit_exceeded, key->name, key->offset, "key {} is {}; engines take up to {}",
              printable(key->name), value, limit);
}

void check_positive(const Header& header, std::string_view suffix, Defects& defects) {
  const Key* key = header.find_key(header.model_key(suffix));
  if (key == nullptr || key->value.as<std::uint32_t>() != 0U) return;
  defects.add(DefectCode::bad_value, key->name, key->offset, "key {} is 0", printable(key->name));
}

void check_architecture(const Header& header, Defects& defects) {
  const Key* key = header.find_key("general.architecture");
  if (key == nullptr || key->value.type() != ValueType::string || !header.architecture().empty()) return;
  defects.add(DefectCode::bad_value, key->name, key->offset, "key {} is empty or longer than {} bytes",
              key->name, max_architecture_bytes);
}

void check_model(const Header& header, Defects& defects) {
  check_architecture(header, defects);
  check_limit(header, "block_count", max_layers, defects);
  check_limit(header, "expert_count", max_experts, defects);
  if (find_architecture(header.architecture()) != nullptr) {
    for (const std::string_view suffix : required_model_keys) check_positive(header, suffix, defects);
  }
  const auto experts = header.find<std::uint32_t>(header.model_key("expert_count"));
  const Key* used = header.find_key(header.model_key("expert_used_count"));
  if (!experts || used == nullptr) return;
  const std::uint32_t count = used->value.as<std::uint32_t>().value_or(0);
  if (count <= experts->value_or(0)) return;
  defects.add(DefectCode::bad_value, used->name, used->offset, "key {} is {} where the model has {} experts",
              printable(used->name), count, experts->value_or(0));
}

void check_array(const Header& header, std::string_view name, std::initializer_list<ValueType> elements,
                 Defects& defects) {
  const Key* key = header.find_key(name);
  if (key == nullptr || !key->value.is_array()) return;  // another type is check_types' finding
  for (const ValueType element : elements) {
    if (key->value.is_array_of(element)) return;
  }
  defects.add(DefectCode::wrong_type, name, key->offset, "key {} is an array of {} where {} is expected",
              name, name_of(key->value.element_type()), name_of(*elements.begin()));
}

void check_length(const Header& header, std::string_view name, std::uint64_t tokens, Defects& defects) {
  const Key* key = header.find_key(name);
  if (key == nullptr || !key->value.is_array() || key->value.count() == tokens) return;
  defects.add(DefectCode::wrong_length, name, key->offset, "key {} has {} elements for {} tokens", name,
              key->value.count(), tokens);
}

// What some writers put where a model has no such token.
constexpr std::uint32_t no_token = std::numeric_limits<std::uint32_t>::max();

void check_special_token(const Key& key, std::uint64_t tokens, Defects& defects) {
  if (!key.name.starts_with("tokenizer.ggml.") || !key.name.ends_with("_token_id")) return;
  const auto id = key.value.as<std::uint32_t>();
  if (!id) {
    check_type(key, ValueType::u32, defects);
  } else if (*id >= tokens && *id != no_token) {
    defects.add(DefectCode::token_out_of_range, key.name, key.offset,
                "key {} is {} where the model has {} tokens", printable(key.name), *id, tokens);
  }
}

void check_tokenizer(const Header& header, Defects& defects) {
  check_array(header, "tokenizer.ggml.tokens", {ValueType::string}, defects);
  check_array(header, "tokenizer.ggml.scores", {ValueType::f32}, defects);
  check_array(header, "tokenizer.ggml.token_type", {ValueType::i32, ValueType::u32}, defects);
  check_array(header, "tokenizer.ggml.merges", {ValueType::string}, defects);
  const Key* tokens = header.find_key("tokenizer.ggml.tokens");
  if (tokens == nullptr || !tokens->value.is_array_of(ValueType::string)) return;
  check_length(header, "tokenizer.ggml.scores", tokens->value.count(), defects);
  check_length(header, "tokenizer.ggml.token_type", tokens->value.count(), defects);
  for (const Key& key : header.keys) check_special_token(key, tokens->value.count(), defects);
}

void check_split(const Header& header, Defects& defects) {
  const Key* count = header.find_key("split.count");
  if (count == nullptr || count->value.type() != ValueType::u16)
    return;  // another type is check_types' finding
  const auto split = split_of(header);
  if (!split) defects.add(DefectCode::bad_split, count->name, count->offset, "{}", split.error().message);
}

}  // namespace

void validate(const Header& header, Defects& defects) {
  check_types(header, defects);
  check_required(header, defects);
  check_model(header, defects);
  check_tokenizer(header, defects);
  check_split(header, defects);
}

Report inspect(std::span<const std::byte> bytes, std::uint64_t file_bytes) {
  Report report = read(bytes, file_bytes);
  // Only a table of tensors that was read to its end means that all keys are there.
  if (report.complete() && report.header.data_offset != 0) validate(report.header, report.defects);
  return report;
}

Result<Header> read_model(std::span<const std::byte> bytes, std::uint64_t file_bytes) {
  Report report = inspect(bytes, file_bytes);
  if (!report.defects.empty()) return std::unexpected(to_error(report.defects));
  if (!report.complete()) {
    return fail(ErrorCode::invalid_gguf,
                fmt::format("the header does not end within the first {} bytes; at least {} "
                            "are needed",
                            bytes.size(), report.needs_bytes));
  }
  return std::move(report.header);
}

}  // namespace ggufd::gguf
