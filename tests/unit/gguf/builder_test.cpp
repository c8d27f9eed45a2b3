#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string_view>

#include "gguf/memory_plan.h"
#include "gguf/validate.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/runnable_model.h"

namespace ggufd::test {
namespace {

std::filesystem::path temporary_file() {
  return std::filesystem::temp_directory_path() /
         ("ggufd-builder-test-" + std::to_string(::getpid()) + ".gguf");
}

}  // namespace

TEST_CASE("the builder is deterministic and its seed matters") {
  CHECK(llama_model({.seed = 7}).build() == llama_model({.seed = 7}).build());
  CHECK(llama_model({.seed = 7}).build() != llama_model({.seed = 8}).build());
  CHECK(llama_model({.seed = 7}).header() == llama_model({.seed = 8}).header());
}

TEST_CASE("a written file is what build() makes") {
  const GgufBuilder file = llama_model({.target_bytes = 3'000'000});
  const auto path = temporary_file();
  REQUIRE(file.write(path).has_value());
  std::ifstream in(path, std::ios::binary);
  const std::string written((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  std::filesystem::remove(path);
  const auto built = file.build();
  REQUIRE(written.size() == built.size());
  CHECK(std::memcmp(written.data(), built.data(), built.size()) == 0);
}

TEST_CASE("a folder that does not exist is an error") {
  CHECK(llama_model().write("/nonexistent/file.gguf").error().code == ErrorCode::io);
}

TEST_CASE("a model has about the size that was asked for and stays sound") {
  for (const std::uint64_t target : {1'000'000U, 10'000'000U, 50'000'000U, 500'000'000U}) {
    CAPTURE(target);
    const GgufBuilder file = llama_model({.target_bytes = target});
    const auto header = file.header();
    const double size = static_cast<double>(header.size() + file.data_bytes());
    CHECK(std::abs(size / static_cast<double>(target) - 1) < 0.05);
    const auto model = gguf::read_model(header, header.size() + file.data_bytes());
    CHECK_MESSAGE(model.has_value(), model.error().message);
  }
}

TEST_CASE("tensors have the shapes that the keys promise") {
  const auto bytes = llama_model().build();
  const auto model = gguf::read_model(bytes, bytes.size());
  REQUIRE(model.has_value());
  const std::uint64_t embd = *model->get<std::uint32_t>("llama.embedding_length");
  const std::uint64_t kv_heads = *model->get<std::uint32_t>("llama.attention.head_count_kv");
  const std::uint64_t head = *model->get<std::uint32_t>("llama.rope.dimension_count");
  const gguf::Tensor* k = model->find_tensor("blk.1.attn_k.weight");
  REQUIRE(k != nullptr);
  CHECK(k->shape[0] == embd);
  CHECK(k->shape[1] == kv_heads * head);
  CHECK(model->find_tensor("token_embd.weight")->shape[1] == model->vocabulary_size());
  CHECK(embd / *model->get<std::uint32_t>("llama.attention.head_count") == head);
}

TEST_CASE("weights are finite") {
  const auto bytes = llama_model().build();
  const auto report = gguf::read(bytes, bytes.size());
  REQUIRE(report.sound());
  const auto f16_is_finite = [&](std::uint64_t at) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, bytes.data() + at, sizeof bits);
    return (bits & 0x7C00) != 0x7C00;
  };
  for (const gguf::Tensor& tensor : report.header.tensors) {
    const std::uint64_t start = report.header.data_offset + tensor.offset;
    if (tensor.type->name == "f32") continue;
    bool finite = true;
    for (std::uint64_t at = 0; at < tensor.bytes; at += tensor.type->block_bytes)
      finite &= f16_is_finite(start + at);
    CAPTURE(tensor.name);
    CHECK(finite);
  }
}

TEST_CASE("a model that is made can be planned") {
  const auto bytes = llama_model({.n_ctx = 1024}).build();
  const auto model = gguf::read_model(bytes, bytes.size());
  REQUIRE(model.has_value());
  const auto plan = gguf::plan_memory(*model, {});
  REQUIRE(plan.has_value());
  CHECK(plan->n_ctx == 1024);
  CHECK(plan->kv->attention_bytes == 2U * 1024 * 32 * 2 * 2);  // layers, cells, elements, K and V, f16
  CHECK(plan->total_bytes.has_value());
}

TEST_CASE("rows are zero where that was asked for") {
  const auto bytes =
      GgufBuilder().add("general.architecture", "none").tensor("t", "q8_0", {64, 4}).zero_rows(3).build();
  constexpr std::size_t row_bytes = 2 * 34;
  const auto rows = std::span(bytes).last(4 * row_bytes + 16);  // padded to 32
  CHECK(std::ranges::all_of(rows.first(3 * row_bytes), [](std::byte byte) { return byte == std::byte{0}; }));
  CHECK(rows[3 * row_bytes + 1] != std::byte{0});  // the scale's high byte
}

TEST_CASE("a chat model is sound, small and has a template") {
  for (const std::uint64_t target : {0U, 10'000'000U}) {
    CAPTURE(target);
    const auto bytes = chat_model({.target_bytes = target}).build();
    CHECK(bytes.size() < std::max<std::uint64_t>(target * 2, 400'000));
    const auto model = gguf::read_model(bytes, bytes.size());
    REQUIRE_MESSAGE(model.has_value(), model.error().message);
    CHECK(model->get<std::string_view>("tokenizer.chat_template").value().contains("messages"));
    const gguf::Tensor& output = *model->find_tensor("output.weight");
    const auto row_bytes = output.bytes / output.shape[1];
    const auto scale_of = [&](std::uint64_t token) {  // its high byte
      return bytes[model->data_offset + output.offset + token * row_bytes + 1];
    };
    CHECK(scale_of(258) == std::byte{0});  // the last of the bytes
    CHECK(scale_of(259) != std::byte{0});
  }
}

TEST_CASE("an embedding model is sound and small and has no cache") {
  const auto bytes = embedding_model().build();
  CHECK(bytes.size() < 400'000);
  const auto model = gguf::read_model(bytes, bytes.size());
  REQUIRE_MESSAGE(model.has_value(), model.error().message);
  CHECK(model->architecture() == "bert");
  CHECK(model->find_tensor("position_embd.weight")->shape[1] ==
        *model->get<std::uint32_t>("bert.context_length"));
  CHECK(model->find_tensor("token_embd.weight")->shape[1] == model->vocabulary_size());
  const auto plan = gguf::plan_memory(*model, {});
  REQUIRE(plan.has_value());
  CHECK(plan->kv->bytes() == 0);
  CHECK(embedding_model({.seed = 2}).header() == embedding_model({.seed = 3}).header());
  CHECK(embedding_model({.seed = 2}).build() != embedding_model({.seed = 3}).build());
}

}  // namespace ggufd::test
