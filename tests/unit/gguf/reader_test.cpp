#include "gguf/reader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "gguf/validate.h"
#include "tests/support/gguf_builder.h"
#include "tests/unit/gguf/defect_cases.h"

namespace ggufd::test {
namespace {

using gguf::Defect;
using gguf::DefectCode;

bool names(const gguf::Report& report, DefectCode code, std::string_view where) {
  return std::ranges::any_of(report.defects.list(),
                             [&](const Defect& d) { return d.code == code && d.where == where; });
}

void check_case(const DefectCase& broken) {
  CAPTURE(broken.name);
  const gguf::Report report = gguf::inspect(broken.bytes, broken.file_bytes);
  std::string found;
  for (const Defect& d : report.defects.list()) found += std::string(name_of(d.code)) + " " + d.where + "; ";
  CAPTURE(found);
  CHECK(names(report, broken.code, broken.where));
  for (const Defect& d : report.defects.list()) {
    CHECK(!d.message.empty());
    CHECK(d.offset <= broken.bytes.size());
  }
  const auto model = gguf::read_model(broken.bytes, broken.file_bytes);
  REQUIRE(!model.has_value());
  CHECK(!model.error().message.empty());
}

}  // namespace

TEST_CASE("published parser bugs are named as findings") {
  for (const DefectCase& broken : published_cases()) check_case(broken);
}

TEST_CASE("every other defect is named as a finding") {
  for (const DefectCase& broken : other_cases()) check_case(broken);
}

TEST_CASE("the cases reach every kind of defect") {
  std::set<DefectCode> reached;
  for (const DefectCase& broken : published_cases()) reached.insert(broken.code);
  for (const DefectCase& broken : other_cases()) reached.insert(broken.code);
  for (std::size_t i = 0; i < EnumNames<DefectCode>.size(); ++i) {
    CAPTURE(EnumNames<DefectCode>[i]);
    CHECK(reached.contains(static_cast<DefectCode>(i)));
  }
}

TEST_CASE("a sound model has no finding") {
  for (const bool gpt2 : {false, true}) {
    const auto bytes = llama_model({.gpt2_tokenizer = gpt2}).build();
    const gguf::Report report = gguf::inspect(bytes, bytes.size());
    for (const Defect& defect : report.defects.list()) MESSAGE(defect.message);
    CHECK(report.sound());
    CHECK(report.header.version == 3);
    CHECK(report.header.alignment == 32);
    CHECK(report.header.end_of_data == bytes.size());
  }
}

TEST_CASE("version 2 is read like version 3") {
  const auto bytes = llama_model().version(2).build();
  const gguf::Report report = gguf::inspect(bytes, bytes.size());
  CHECK(report.sound());
  CHECK(report.header.version == 2);
}

TEST_CASE("tensors are read with shape, type, place and size") {
  const auto bytes = GgufBuilder()
                         .add("general.architecture", "test")
                         .tensor("a", "f32", {3, 5})
                         .tensor("b", "q8_0", {64, 2, 3})
                         .build();
  const gguf::Report report = gguf::read(bytes, bytes.size());
  REQUIRE(report.sound());
  const gguf::Tensor* b = report.header.find_tensor("b");
  REQUIRE(b != nullptr);
  CHECK(b->type->name == "q8_0");
  CHECK(std::ranges::equal(b->dimensions(), std::array<std::uint64_t, 3>{64, 2, 3}));
  CHECK(b->offset == 64);  // 60 bytes of a, padded
  CHECK(b->bytes == 64 * 2 * 3 / 32 * 34);
  CHECK(report.header.parameter_count() == 15 + 384);
  CHECK(report.header.tensor_bytes() == 60 + 408);
  CHECK(report.header.data_offset % 32 == 0);
}

TEST_CASE("another alignment moves the data") {
  const auto bytes = GgufBuilder()
                         .align_to(4096)
                         .add("general.architecture", "test")
                         .add("general.alignment", std::uint32_t{4096})
                         .tensor("a", "f32", {3})
                         .tensor("b", "f32", {3})
                         .build();
  const gguf::Report report = gguf::read(bytes, bytes.size());
  REQUIRE(report.sound());
  CHECK(report.header.data_offset == 4096);
  CHECK(report.header.find_tensor("b")->offset == 4096);
}

TEST_CASE("all findings of a file are listed, not only the first") {
  const auto bytes = GgufBuilder()
                         .add("general.architecture", "llama")
                         .add("llama.block_count", "two")
                         .add("general.alignment", std::uint32_t{3})
                         .raw_tensor("old", 1, {32}, 5, 0)
                         .raw_tensor("none", 1, {0}, 0, 0)
                         .build();
  const gguf::Report report = gguf::inspect(bytes, bytes.size());
  CHECK(names(report, DefectCode::wrong_type, "llama.block_count"));
  CHECK(names(report, DefectCode::bad_alignment, "general.alignment"));
  CHECK(names(report, DefectCode::removed_tensor_type, "old"));
  CHECK(names(report, DefectCode::bad_dimension, "none"));
  CHECK(names(report, DefectCode::missing_key, "llama.context_length"));
}

TEST_CASE("a finding tells its place in the file") {
  GgufBuilder file;
  const auto offset_of = [&](DefectCode code) {
    const auto bytes = file.build();
    const gguf::Report report = gguf::inspect(bytes, bytes.size());
    const auto found = std::ranges::find(report.defects.list(), code, &Defect::code);
    REQUIRE(found != report.defects.list().end());
    return found->offset;
  };
  file.add("general.architecture", "test").align_to(1);
  const std::uint64_t second_key = file.header().size();
  file.add("general.alignment", std::uint32_t{3});
  CHECK(offset_of(DefectCode::bad_alignment) == second_key);
  const std::uint64_t table = file.header().size();
  file.raw_tensor("t", 1, {0}, 0, 0);
  CHECK(offset_of(DefectCode::bad_dimension) == table + 8 + 1 + 4);
  CHECK(offset_of(DefectCode::bad_alignment) == second_key);
}

TEST_CASE("a special token that is none is no finding") {
  GgufBuilder file;
  file.add("general.architecture", "test").add_strings("tokenizer.ggml.tokens", {"a"});
  file.add("tokenizer.ggml.padding_token_id", UINT32_MAX);
  const auto sound = file.build();
  CHECK(gguf::inspect(sound, sound.size()).sound());
  file.add("tokenizer.ggml.unknown_token_id", UINT32_MAX - 1);
  const auto bytes = file.build();
  CHECK(names(gguf::inspect(bytes, bytes.size()), DefectCode::token_out_of_range,
              "tokenizer.ggml.unknown_token_id"));
}

TEST_CASE("findings beyond the limit are counted, not kept") {
  GgufBuilder file;
  for (int i = 0; i < 500; ++i) file.add("", std::uint8_t{1});
  const auto bytes = file.build();
  const gguf::Report report = gguf::read(bytes, bytes.size());
  CHECK(report.defects.list().size() == gguf::Defects::limit);
  CHECK(report.defects.found() == 500 + 499);  // each without a name, all but one a duplicate
}

TEST_CASE("a file that ends early is named truncated at every length") {
  const auto bytes = llama_model({.n_layers = 1, .n_vocab = 320}).header();
  for (std::size_t length = 0; length + 32 < bytes.size(); length += 7) {
    const std::span<const std::byte> start = std::span(bytes).first(length);
    const gguf::Report report = gguf::read(start, length);
    CHECK(!report.defects.empty());
    CHECK(report.complete());
  }
}

TEST_CASE("a prefix of the header asks for more, and never for more than the header") {
  const GgufBuilder file = llama_model({.n_layers = 1, .n_vocab = 320});
  const auto header = file.header();
  const std::uint64_t file_bytes = header.size() + file.data_bytes();
  bool complete = false;
  for (std::size_t length = 0; length <= header.size(); ++length) {
    const std::vector<std::byte> prefix(header.begin(), header.begin() + static_cast<std::ptrdiff_t>(length));
    const gguf::Report report = gguf::inspect(prefix, file_bytes);
    if (!report.defects.empty()) FAIL_CHECK(report.defects.list().front().message);
    if (report.complete()) {
      complete = true;
      CHECK(report.header.data_offset == header.size());
    } else {
      CHECK_FALSE(complete);  // once complete, more bytes change nothing
      CHECK(report.needs_bytes > length);
      CHECK(report.needs_bytes <= header.size());
    }
  }
  CHECK(complete);
}

TEST_CASE("reading as much as is asked for ends in a few steps") {
  const GgufBuilder file = llama_model({.n_layers = 2, .n_vocab = 5000});
  const auto header = file.header();
  std::uint64_t length = 24;
  int steps = 0;
  while (true) {
    const gguf::Report report =
        gguf::read(std::span(header).first(length), header.size() + file.data_bytes());
    if (report.complete()) break;
    length = std::max(report.needs_bytes, std::min<std::uint64_t>(length * 2, header.size()));
    ++steps;
  }
  CHECK(steps < 20);
}

TEST_CASE("a header that is not whole is no model") {
  const auto header = llama_model().header();
  const auto model = gguf::read_model(std::span(header).first(100), header.size());
  REQUIRE(!model.has_value());
  CHECK(model.error().code == ErrorCode::invalid_gguf);
}

TEST_CASE("what no engine reads is unsupported, what is broken is invalid") {
  const auto code_of = [](const std::vector<std::byte>& bytes) {
    return gguf::read_model(bytes, bytes.size()).error().code;
  };
  CHECK(code_of(llama_model().version(1).build()) == ErrorCode::unsupported_gguf);
  CHECK(code_of(llama_model().version(0x03000000).build()) == ErrorCode::unsupported_gguf);
  GgufBuilder removed = llama_model();
  removed.raw_tensor("old", 1, {32}, 4, removed.data_bytes()).tensor("t", "f32", {32});
  const auto error = [&] {
    const auto bytes = removed.build();
    return gguf::read_model(bytes, bytes.size()).error();
  }();
  CHECK(error.message.find("q4_2") != std::string::npos);
  CHECK(code_of(llama_model().magic("abcd").build()) == ErrorCode::invalid_gguf);
  const auto v1 = llama_model().version(1).build();
  CHECK(gguf::read_model(v1, v1.size()).error().message.find("version 1") != std::string::npos);
}

TEST_CASE("names from a file are shown as printable text") {
  CHECK(gguf::printable("a\nb\x80\\") == "a\\x0ab\\x80\\x5c");
  CHECK(gguf::printable(std::string(200, 'x')) == std::string(96, 'x') + "...");
}

}  // namespace ggufd::test
