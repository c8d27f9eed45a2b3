#include <doctest/doctest.h>

#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "gguf/memory_plan.h"
#include "gguf/validate.h"
#include "tests/support/gguf_builder.h"

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

}  // namespace ggufd::test
