#include <array>
#include <string>

#include "tests/support/gguf_builder.h"
#include "tests/unit/gguf/defect_cases.h"

namespace ggufd::test {
namespace {

using gguf::DefectCode;
using Bytes = std::vector<std::byte>;

constexpr std::uint32_t f32 = 0;
constexpr std::uint32_t q8 = 8;

GgufBuilder bare() {
  GgufBuilder file;
  file.add("general.architecture", "test");
  return file;
}

GgufBuilder with_tokens() {
  GgufBuilder file = bare();
  file.add_strings("tokenizer.ggml.tokens", {"a", "b", "c"});
  return file;
}

GgufBuilder llama_with(std::string_view key, std::uint32_t value) {
  GgufBuilder file;
  file.add("general.architecture", "llama").add(key, value);
  return file;
}

DefectCase whole(std::string_view name, DefectCode code, std::string_view where, Bytes bytes) {
  const std::uint64_t size = bytes.size();
  return {name, code, where, std::move(bytes), size};
}

std::vector<DefectCase> headers() {
  return {
      whole("another format", DefectCode::bad_magic, "header", llama_model().magic("GGML").build()),
      whole("a future version", DefectCode::unsupported_version, "header", llama_model().version(4).build()),
      whole("version 0", DefectCode::unsupported_version, "header", llama_model().version(0).build()),
      whole("big endian", DefectCode::big_endian, "header", llama_model().version(0x03000000).build()),
      whole("an empty file", DefectCode::truncated, "header", {}),
  };
}

std::vector<DefectCase> keys() {
  constexpr std::array<std::byte, 1> two = {std::byte{2}};
  constexpr std::array<std::byte, 15> flags = {
      std::byte{7}, {}, {}, {}, std::byte{3}, {}, {}, {}, {}, {}, {}, {}, std::byte{1}, std::byte{255}};
  return {
      whole("a key without a name", DefectCode::empty_key, "", bare().add("", std::uint32_t{1}).build()),
      whole("a key with a NUL in its name", DefectCode::bad_key_name, "general\\x00name",
            bare().add(std::string_view("general\0name", 12), "x").build()),
      whole("a key twice", DefectCode::duplicate_key, "general.architecture",
            bare().add("general.architecture", "test").build()),
      whole("a value of type 13", DefectCode::unknown_value_type, "test.odd",
            bare().raw_key("test.odd", 13, two).build()),
      whole("an array of type 99", DefectCode::unknown_value_type, "test.odd",
            bare().array_header("test.odd", 99, 0).build()),
      whole("an array of arrays", DefectCode::nested_array, "test.nested",
            bare().array_header("test.nested", 9, 1).build()),
      whole("a bool of 2", DefectCode::bad_bool, "test.flag", bare().raw_key("test.flag", 7, two).build()),
      whole("an array of bools with a 255 in it", DefectCode::bad_bool, "test.flags",
            bare().raw_key("test.flags", 9, flags).build()),
      whole("alignment that is no power of two", DefectCode::bad_alignment, "general.alignment",
            bare().add("general.alignment", std::uint32_t{48}).build()),
      whole("alignment of 2^31", DefectCode::bad_alignment, "general.alignment",
            bare().add("general.alignment", std::uint32_t{0x80000000}).build()),
      whole("alignment as a u64", DefectCode::bad_alignment, "general.alignment",
            bare().add("general.alignment", std::uint64_t{32}).build()),
  };
}

std::vector<DefectCase> tensors() {
  const std::string long_name(64, 'n');
  static const std::string kept = long_name;
  return {
      whole("a tensor without a name", DefectCode::bad_tensor_name, "",
            bare().tensor("", "f32", {8}).build()),
      whole("a tensor's name of 64 bytes", DefectCode::bad_tensor_name, kept,
            bare().tensor(kept, "f32", {8}).build()),
      whole("a tensor's name with a NUL", DefectCode::bad_tensor_name, "a\\x00b",
            bare().tensor(std::string_view("a\0b", 3), "f32", {8}).build()),
      whole("a tensor twice", DefectCode::duplicate_tensor, "t",
            bare().tensor("t", "f32", {8}).tensor("t", "f32", {8}).build()),
      whole("no dimensions", DefectCode::bad_dimension_count, "t",
            bare().raw_tensor("t", 0, {}, f32, 0).build()),
      whole("2^32-1 dimensions", DefectCode::bad_dimension_count, "t",
            bare().raw_tensor("t", UINT32_MAX, {8}, f32, 0).build()),
      whole("a dimension of 0", DefectCode::bad_dimension, "t",
            bare().raw_tensor("t", 2, {8, 0}, f32, 0).build()),
      whole("a negative dimension", DefectCode::bad_dimension, "t",
            bare().raw_tensor("t", 1, {UINT64_MAX}, f32, 0).build()),
      whole("half a block", DefectCode::partial_block, "t", bare().raw_tensor("t", 1, {48}, q8, 0).build()),
      whole("a removed type", DefectCode::removed_tensor_type, "t",
            bare().raw_tensor("t", 1, {32}, 4, 0).build()),
      whole("an unknown type", DefectCode::unknown_tensor_type, "t",
            bare().raw_tensor("t", 1, {32}, 99, 0).build()),
      whole(
          "a gap between tensors", DefectCode::bad_tensor_offset, "b",
          bare().tensor("a", "f32", {8}).raw_tensor("b", 1, {0x1}, f32, 64).tensor("c", "f32", {64}).build()),
      whole("an offset that is not aligned", DefectCode::bad_tensor_offset, "b",
            bare()
                .raw_tensor("odd", 1, {32}, 99, 0)
                .raw_tensor("b", 1, {1}, f32, 4)
                .tensor("c", "f32", {64})
                .build()),
      whole("an offset that wraps", DefectCode::tensor_outside_file, "t",
            bare().raw_tensor("t", 1, {8}, f32, UINT64_MAX - 31).build()),
  };
}

std::vector<DefectCase> tokenizers() {
  constexpr std::string_view scores_key = "tokenizer.ggml.scores";
  constexpr std::string_view token_type_key = "tokenizer.ggml.token_type";
  return {
      whole("scores that are no floats", DefectCode::wrong_type, scores_key,
            with_tokens().add_array<std::int32_t>(scores_key, {1, 2, 3}).build()),
      whole("token types that are no integers", DefectCode::wrong_type, token_type_key,
            with_tokens().add_array<float>(token_type_key, {1, 2, 3}).build()),
      whole("too few scores", DefectCode::wrong_length, scores_key,
            with_tokens().add_array<float>(scores_key, {1, 2}).build()),
      whole("too many token types", DefectCode::wrong_length, token_type_key,
            with_tokens().add_array<std::int32_t>(token_type_key, {1, 2, 3, 4}).build()),
      whole("tokens that are no strings", DefectCode::wrong_type, "tokenizer.ggml.tokens",
            bare().add_array<std::uint32_t>("tokenizer.ggml.tokens", {1}).build()),
      whole("tokens that are no array", DefectCode::wrong_type, "tokenizer.ggml.tokens",
            bare().add("tokenizer.ggml.tokens", "a").build()),
      whole("merges that are no strings", DefectCode::wrong_type, "tokenizer.ggml.merges",
            bare().add_array<std::uint32_t>("tokenizer.ggml.merges", {1}).build()),
      whole("a special token beyond the vocabulary", DefectCode::token_out_of_range,
            "tokenizer.ggml.seperator_token_id",
            with_tokens().add("tokenizer.ggml.seperator_token_id", std::uint32_t{3}).build()),
      whole("a special token that is no u32", DefectCode::wrong_type, "tokenizer.ggml.eos_token_id",
            with_tokens().add("tokenizer.ggml.eos_token_id", std::int32_t{-1}).build()),
  };
}

std::vector<DefectCase> models() {
  GgufBuilder split = bare();
  split.add("split.no", std::uint16_t{3})
      .add("split.count", std::uint16_t{3})
      .add("split.tensors.count", std::int32_t{9});
  GgufBuilder half_split = bare();
  half_split.add("split.no", std::uint16_t{0}).add("split.count", std::uint16_t{2});
  GgufBuilder experts = llama_with("llama.expert_count", 4);
  experts.add("llama.expert_used_count", std::uint32_t{5});
  GgufBuilder nameless;
  nameless.add("general.name", "x");
  return {
      whole("no architecture", DefectCode::missing_key, "general.architecture", nameless.build()),
      whole("an architecture that is a number", DefectCode::wrong_type, "general.architecture",
            GgufBuilder().add("general.architecture", std::uint32_t{1}).build()),
      whole("an architecture without a name", DefectCode::bad_value, "general.architecture",
            GgufBuilder().add("general.architecture", "").build()),
      whole("an architecture that is a novel", DefectCode::bad_value, "general.architecture",
            GgufBuilder().add("general.architecture", std::string(129, 'a')).build()),
      whole("513 layers", DefectCode::limit_exceeded, "llama.block_count",
            llama_with("llama.block_count", 513).build()),
      whole("no layers", DefectCode::bad_value, "llama.block_count",
            llama_with("llama.block_count", 0).build()),
      whole("1025 experts", DefectCode::limit_exceeded, "llama.expert_count",
            llama_with("llama.expert_count", 1025).build()),
      whole("more experts used than there are", DefectCode::bad_value, "llama.expert_used_count",
            experts.build()),
      whole("a shard beyond the last", DefectCode::bad_split, "split.count", split.build()),
      whole("a shard that says too little", DefectCode::bad_split, "split.count", half_split.build()),
      whole("a split count of the wrong type", DefectCode::wrong_type, "split.count",
            bare().add("split.count", std::uint32_t{2}).build()),
  };
}

}  // namespace

std::vector<DefectCase> other_cases() {
  std::vector<DefectCase> cases = headers();
  for (auto& more : {keys(), tensors(), tokenizers(), models()})
    cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

}  // namespace ggufd::test
