#include <array>
#include <span>

#include "tests/support/gguf_builder.h"
#include "tests/unit/gguf/defect_cases.h"

namespace ggufd::test {
namespace {

using gguf::DefectCode;
using Bytes = std::vector<std::byte>;

constexpr std::uint64_t all_ones = UINT64_MAX;
constexpr std::uint32_t f32 = 0;
constexpr std::uint32_t i8 = 24;

GgufBuilder model() {
  return llama_model();
}

// A file with these tensors only.
GgufBuilder bare() {
  GgufBuilder file;
  file.add("general.architecture", "test");
  return file;
}

DefectCase whole(std::string_view name, DefectCode code, std::string_view where, Bytes bytes) {
  const std::uint64_t size = bytes.size();
  return {name, code, where, std::move(bytes), size};
}

Bytes cut(const GgufBuilder& file, std::size_t bytes_less) {
  Bytes bytes = file.header();
  bytes.resize(bytes.size() - bytes_less);
  return bytes;
}

// The file ends within the length of the last of three strings.
Bytes ends_within_array() {
  GgufBuilder file = bare();
  file.add_strings("test.words", {"some", "more", "lost"});
  file.align_to(1);
  return cut(file, 8);
}

std::vector<DefectCase> counts_and_lengths() {
  std::vector<DefectCase> cases;
  cases.push_back(whole("CVE-2024-21825 array count times element size wraps", DefectCode::array_too_long,
                        "test.array", bare().array_header("test.array", 10, all_ones / 8 + 2).build()));
  cases.push_back(whole("CVE-2024-21836 tensor count times struct size wraps", DefectCode::count_beyond_file,
                        "header", model().claim_tensors(all_ones / 100).build()));
  cases.push_back(whole("CVE-2024-23605 key count times struct size wraps", DefectCode::count_beyond_file,
                        "header", model().claim_keys(all_ones / 100).build()));
  cases.push_back(whole("CVE-2024-23496 string length of 2^64-1", DefectCode::string_too_long, "test.text",
                        bare().add_with_length("test.text", "short", all_ones).build()));
  cases.push_back(whole("CVE-2024-32878 read fails within an array", DefectCode::truncated, "test.words",
                        ends_within_array()));
  Bytes huge_token = bare().array_header("tokenizer.ggml.tokens", 8, 1).align_to(1).header();
  const auto length = std::uint64_t{1} << 31;
  const auto raw = std::as_bytes(std::span(&length, 1));
  huge_token.insert(huge_token.end(), raw.begin(), raw.end());
  cases.push_back({"CVE-2025-49847 token text longer than INT32_MAX", DefectCode::string_too_long,
                   "tokenizer.ggml.tokens", huge_token, std::uint64_t{1} << 33});
  cases.push_back(whole("CVE-2025-0315 string longer than the file", DefectCode::length_beyond_file,
                        "test.text", bare().add_with_length("test.text", "short", 1 << 29).build()));
  cases.push_back(whole("CVE-2026-65315 array longer than the file", DefectCode::count_beyond_file,
                        "test.array", bare().array_header("test.array", 8, 1 << 30).build()));
  cases.push_back(whole("CVE-2025-66959 unchecked length of a key", DefectCode::length_beyond_file, "header",
                        bare().raw_tensor_name("x", 1 << 20).build()));
  cases.push_back(whole("CVE-2025-66960 v1 string length", DefectCode::unsupported_version, "header",
                        model().version(1).build()));
  return cases;
}

std::vector<DefectCase> tensors() {
  std::vector<DefectCase> cases;
  const std::uint64_t half = std::uint64_t{1} << 62;
  cases.push_back(whole("CVE-2024-21802 more than 4 dimensions", DefectCode::bad_dimension_count, "t",
                        bare().raw_tensor("t", 5, {1, 1, 1, 1, 1}, f32, 0).build()));
  cases.push_back(whole("CVE-2024-41130 name of the second tensor cannot be read",
                        DefectCode::length_beyond_file, "header",
                        bare().tensor("first", "f32", {8}).raw_tensor_name("second", 1 << 16).build()));
  cases.push_back(whole("CVE-2025-53630 sum of padded sizes wraps", DefectCode::data_size_overflow, "d",
                        bare()
                            .raw_tensor("a", 1, {half}, i8, 0)
                            .raw_tensor("b", 1, {half}, i8, half)
                            .raw_tensor("c", 1, {half}, i8, 2 * half)
                            .raw_tensor("d", 1, {half}, i8, 3 * half)
                            .build()));
  cases.push_back(whole("CVE-2026-27940 two huge tensors of bytes", DefectCode::tensor_outside_file, "a",
                        bare()
                            .raw_tensor("a", 1, {2 * half - 64}, i8, 0)
                            .raw_tensor("b", 1, {2 * half - 64}, i8, 2 * half - 64)
                            .build()));
  cases.push_back(whole("CVE-2026-33298 dimensions that multiply to a small number",
                        DefectCode::tensor_too_large, "t",
                        bare().raw_tensor("t", 3, {half, 4, 1}, f32, 0).build()));
  cases.push_back(
      whole("a shape of 2^32 by 2^32, which wraps to nothing", DefectCode::tensor_too_large, "t",
            bare().raw_tensor("t", 2, {std::uint64_t{1} << 32, std::uint64_t{1} << 32}, f32, 0).build()));
  cases.push_back(whole("CVE-2026-7482 tensor beyond the end of the file", DefectCode::tensor_outside_file,
                        "t", bare().raw_tensor("t", 1, {1024}, f32, 0).build()));
  return cases;
}

std::vector<DefectCase> meaning() {
  std::vector<DefectCase> cases;
  GgufBuilder wrong_blocks;
  wrong_blocks.add("general.architecture", "llama").add("llama.block_count", "two");
  GgufBuilder number_for_array = bare();
  number_for_array.add_strings("tokenizer.ggml.tokens", {"a", "b", "c"});
  GgufBuilder index = number_for_array;
  index.add("tokenizer.ggml.bos_token_id", std::uint32_t{3});
  GgufBuilder short_types = number_for_array;
  short_types.add_array<std::int32_t>("tokenizer.ggml.token_type", {1, 1});
  GgufBuilder missing;
  missing.add("general.architecture", "llama").add("llama.context_length", std::uint32_t{64});
  cases.push_back(whole("CVE-2024-8063 block_count of the wrong type", DefectCode::wrong_type,
                        "llama.block_count", wrong_blocks.build()));
  cases.push_back(whole("CVE-2024-12055 index beyond an array", DefectCode::token_out_of_range,
                        "tokenizer.ggml.bos_token_id", index.build()));
  cases.push_back(whole("CVE-2025-0313 array shorter than what indexes it", DefectCode::wrong_length,
                        "tokenizer.ggml.token_type", short_types.build()));
  cases.push_back(whole("CVE-2025-0312 required value missing", DefectCode::missing_key, "llama.block_count",
                        missing.build()));
  cases.push_back(whole("CVE-2025-0317 alignment of 0", DefectCode::bad_alignment, "general.alignment",
                        bare().add("general.alignment", std::uint32_t{0}).build()));
  cases.push_back(whole("CVE-2024-39720 file of 4 bytes", DefectCode::truncated, "header", [] {
    Bytes bytes = llama_model().header();
    bytes.resize(4);
    return bytes;
  }()));
  cases.push_back(whole("header cut within its last field", DefectCode::truncated, "t",
                        cut(bare().align_to(1).raw_tensor("t", 1, {8}, f32, 0), 3)));
  return cases;
}

}  // namespace

std::vector<DefectCase> published_cases() {
  std::vector<DefectCase> cases = counts_and_lengths();
  for (auto& more : {tensors(), meaning()}) cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

}  // namespace ggufd::test
