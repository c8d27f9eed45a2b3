#include "gguf/tensor_type.h"

#include <doctest/doctest.h>

#include <set>

namespace ggufd::test {

TEST_CASE("types are found by id and by name") {
  int known = 0;
  std::set<std::string_view> names;
  for (std::uint32_t id = 0; id < 256; ++id) {
    const gguf::TensorType* type = gguf::tensor_type(id);
    if (type == nullptr) continue;
    ++known;
    CHECK(type->id == id);
    CHECK(gguf::tensor_type(type->name) == type);
    CHECK(names.insert(type->name).second);
    CHECK(!gguf::removed_tensor_type(id).has_value());
  }
  CHECK(known == 35);
  CHECK(gguf::tensor_type(12)->name == "q4_K");
  CHECK(gguf::tensor_type(12)->block_bytes == 144);
  CHECK(gguf::tensor_type("nvfp4")->block_elements == 64);
}

TEST_CASE("removed ids have a name and no type") {
  for (const std::uint32_t id : {4U, 5U, 31U, 32U, 33U, 36U, 37U, 38U}) {
    CAPTURE(id);
    CHECK(gguf::tensor_type(id) == nullptr);
    CHECK(gguf::removed_tensor_type(id).has_value());
  }
  CHECK(gguf::removed_tensor_type(99) == std::nullopt);
  CHECK(gguf::tensor_type(UINT32_MAX) == nullptr);
  CHECK(gguf::tensor_type("q4_2") == nullptr);
}

TEST_CASE("rows are whole blocks") {
  const gguf::TensorType& q8 = *gguf::tensor_type("q8_0");
  CHECK(gguf::row_bytes(q8, 64) == 68);
  CHECK(gguf::row_bytes(q8, 0) == 0);
  CHECK(gguf::row_bytes(q8, 33) == std::nullopt);
  CHECK(gguf::row_bytes(*gguf::tensor_type("f64"), UINT64_MAX) == std::nullopt);
}

TEST_CASE("only nine types hold a cache") {
  for (const char* name : {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"}) {
    CHECK(gguf::cache_type(name) != nullptr);
  }
  for (const char* name : {"q4_K", "i8", "f64", "F16", ""}) CHECK(gguf::cache_type(name) == nullptr);
}

}  // namespace ggufd::test
