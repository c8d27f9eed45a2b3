#include "gguf/header.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "gguf/reader.h"
#include "tests/support/gguf_builder.h"

namespace ggufd::test {
namespace {

// A header and the bytes it looks into.
struct Opened {
  std::vector<std::byte> bytes;
  gguf::Report report;

  explicit Opened(const GgufBuilder& file) : bytes(file.build()), report(gguf::read(bytes, bytes.size())) {}
  const gguf::Header& header() const { return report.header; }
};

}  // namespace

TEST_CASE("numbers of every type come back as they were written") {
  GgufBuilder file;
  file.add("u8", std::uint8_t{200}).add("i8", std::int8_t{-100}).add("u16", std::uint16_t{60000});
  file.add("i16", std::int16_t{-30000})
      .add("u32", std::uint32_t{4000000000})
      .add("i32", std::int32_t{-2000000000});
  file.add("u64", UINT64_MAX)
      .add("i64", INT64_MIN)
      .add("f32", 1.5F)
      .add("f64", -2.25)
      .add("yes", true)
      .add("no", false);
  file.add("text", "h\xc3\xa9llo").add("empty", "");
  const Opened opened(file);
  REQUIRE(opened.report.sound());
  const gguf::Header& header = opened.header();
  CHECK(header.get<std::uint8_t>("u8") == 200);
  CHECK(header.get<std::int8_t>("i8") == -100);
  CHECK(header.get<std::uint16_t>("u16") == 60000);
  CHECK(header.get<std::int16_t>("i16") == -30000);
  CHECK(header.get<std::uint32_t>("u32") == 4000000000);
  CHECK(header.get<std::int32_t>("i32") == -2000000000);
  CHECK(header.get<std::uint64_t>("u64") == UINT64_MAX);
  CHECK(header.get<std::int64_t>("i64") == INT64_MIN);
  CHECK(header.get<float>("f32") == 1.5F);
  CHECK(header.get<double>("f64") == -2.25);
  CHECK(header.get<bool>("yes") == true);
  CHECK(header.get<bool>("no") == false);
  CHECK(header.get<std::string_view>("text") == "h\xc3\xa9llo");
  CHECK(header.get<std::string_view>("empty") == "");
}

TEST_CASE("a value of another type is an error that names both types") {
  const Opened opened(GgufBuilder().add("llama.block_count", "two"));
  const auto value = opened.header().find<std::uint32_t>("llama.block_count");
  REQUIRE(!value.has_value());
  CHECK(value.error().code == ErrorCode::invalid_gguf);
  CHECK(value.error().message == "key llama.block_count is of type string where u32 is expected");
}

TEST_CASE("an absent key is nothing to find and an error to get") {
  const Opened opened(GgufBuilder().add("there", std::uint32_t{1}));
  CHECK(opened.header().find<std::uint32_t>("absent").value() == std::nullopt);
  CHECK(opened.header().get<std::uint32_t>("absent").error().code == ErrorCode::invalid_gguf);
}

TEST_CASE("a bad byte for a bool is still a bool to look at") {
  constexpr std::byte two[] = {std::byte{2}};
  const Opened opened(GgufBuilder().raw_key("flag", 7, two));
  CHECK(!opened.report.sound());
  CHECK(opened.header().get<bool>("flag") == true);
}

TEST_CASE("arrays of strings are walked in place") {
  const std::vector<std::string> words = {"one", "", "three"};
  const Opened opened(GgufBuilder().add_strings("words", words).add_strings("none", {}));
  const auto strings = opened.header().find_key("words")->value.strings();
  CHECK(strings.size() == 3);
  CHECK(std::ranges::equal(strings, words));
  CHECK(strings.at(2) == "three");
  CHECK(strings.at(3) == std::nullopt);
  CHECK(opened.header().find_key("none")->value.strings().empty());
  const auto* first = reinterpret_cast<const std::byte*>((*strings.begin()).data());
  CHECK(first > opened.bytes.data());
  CHECK(first < opened.bytes.data() + opened.bytes.size());
}

TEST_CASE("an array's element is there only in bounds and by its own type") {
  const Opened opened(GgufBuilder().add_array<std::int32_t>("numbers", {7, -8}));
  const gguf::Value& value = opened.header().find_key("numbers")->value;
  CHECK(value.element<std::int32_t>(1) == -8);
  CHECK(value.element<std::int32_t>(2) == std::nullopt);
  CHECK(value.element<std::int32_t>(UINT64_MAX) == std::nullopt);
  CHECK(value.element<std::uint32_t>(0) == std::nullopt);
  CHECK(value.as<std::int32_t>() == std::nullopt);
  CHECK(value.strings().empty());
}

TEST_CASE("the first of two equal keys is the one that is found") {
  const Opened opened(GgufBuilder().add("key", std::uint32_t{1}).add("key", std::uint32_t{2}));
  CHECK(opened.header().get<std::uint32_t>("key") == 1);
}

TEST_CASE("the vocabulary is what the model says, else what the tokenizer has") {
  GgufBuilder file;
  file.add("general.architecture", "llama").add_strings("tokenizer.ggml.tokens", {"a", "b"});
  CHECK(Opened(file).header().vocabulary_size() == 2);
  file.add("llama.vocab_size", std::uint32_t{7});
  CHECK(Opened(file).header().vocabulary_size() == 7);
  CHECK(Opened(GgufBuilder()).header().vocabulary_size() == 0);
}

TEST_CASE("a header that was never filled answers every look-up") {
  const gguf::Header header;
  CHECK(header.find_key("x") == nullptr);
  CHECK(header.find_tensor("x") == nullptr);
  CHECK(header.architecture().empty());
  CHECK(header.parameter_count() == 0);
}

}  // namespace ggufd::test
