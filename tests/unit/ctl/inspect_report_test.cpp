// What `inspect` says of headers.
#include "ctl/inspect_report.h"

#include <simdjson.h>

#include "ctl/human.h"
#include "ctl/inspect_facts.h"
#include "ctl/page.h"
#include "inspect_support.h"

namespace ggufd::ctl {

using namespace test;

namespace {

constexpr Terminal plain{.columns = 80, .rows = 24, .style = {}};

struct Document {
  simdjson::dom::parser parser;
  simdjson::dom::element root;

  explicit Document(const ModelHeaders& headers) {
    REQUIRE(parser.parse(inspect_json(headers)).get(root) == simdjson::SUCCESS);
  }
  std::string at(const char* pointer) const {
    simdjson::dom::element element;
    if (root.at_pointer(pointer).get(element) != simdjson::SUCCESS) return "(absent)";
    return simdjson::minify(element);
  }
};

// Two files of one model.
ModelHeaders two_shards(std::uint16_t number_of_second = 1) {
  ModelHeaders headers;
  for (std::uint16_t i = 0; i < 2; ++i) {
    GgufBuilder file;
    if (i == 0) file.add("general.architecture", "tiny");
    file.add("split.no", i == 0 ? i : number_of_second)
        .add("split.count", std::uint16_t{2})
        .add("split.tensors.count", std::int32_t{2})
        .tensor(i == 0 ? "a.weight" : "b.weight", "f16", {64});
    headers.files.push_back(header_of(file, i == 0 ? "/m-00001-of-00002.gguf" : "/m-00002-of-00002.gguf"));
  }
  std::vector<gguf::Header> shards{headers.files[0].report.header, headers.files[1].report.header};
  gguf::check_shards(shards, headers.set_defects);
  return headers;
}

}  // namespace

TEST_CASE("inspect: the whole report of a small file on 80 columns without colour") {
  CHECK(inspect_text(headers_of(small_file()), true, plain) ==
        R"(/models/m.gguf
  GGUF v3, alignment 32, 7.2 KiB, data from byte 320
  tiny, A tiny one, 6.46 K parameters, 8.73 bits a weight

Keys (4)
  general.architecture   "tiny"
  general.name           "A tiny one"
  tiny.epsilon           1e-05
  tokenizer.ggml.tokens  [3 strings] "!", "\"", "a\nb"

Tensors (2, 6.9 KiB)
  TYPE  TENSORS     SIZE   SHARE
  q8_0        1  6.6 KiB  96.4 %
  f32         1    256 B   3.6 %

  TENSOR         TYPE  SHAPE        SIZE  OFFSET
  output.weight  q8_0  64 x 100  6.6 KiB       0
  norm.weight    f32   64          256 B    6816

valid: no defect was found
)");
}

TEST_CASE("inspect: the document of a small file") {
  CHECK(inspect_json(headers_of(small_file())) ==
        R"({"valid":true,"path":"/models/m.gguf","version":3,"alignment":32,"architecture":"tiny",)"
        R"("name":"A tiny one","parameters":6464,"bits_per_weight":8.732673267326733,"file_bytes":7392,)"
        R"("data_offset":320,"keys":{"general.architecture":"tiny","general.name":"A tiny one",)"
        R"("tiny.epsilon":1e-05,"tokenizer.ggml.tokens":["!","\"","a\nb"]},)"
        R"("tensors":[{"name":"output.weight","type":"q8_0","shape":[64,100],"offset":0,"bytes":6800},)"
        R"({"name":"norm.weight","type":"f32","shape":[64],"offset":6816,"bytes":256}],)"
        R"("types":{"f32":{"tensors":1,"bytes":256},"q8_0":{"tensors":1,"bytes":6800}},)"
        R"("defects":[],"defects_found":0})"
        "\n");
}

TEST_CASE("inspect: every defect is told, and what could be read all the same") {
  GgufBuilder file = small_file();
  file.raw_tensor("far.weight", 1, {64}, 0, 1 << 20).add("general.name", "again").version(2);
  const ModelHeaders headers = headers_of(file);
  const std::string text = inspect_text(headers, false, plain);
  CHECK(contains(text, "\nDefects (3)\n"));
  CHECK(contains(text, "  duplicate_key  general.name, at byte "));
  CHECK(contains(text, "  tensor_outside_file  far.weight, at byte "));
  CHECK(contains(text, "\ninvalid: 3 defects\n"));
  CHECK(contains(text, "tokenizer.ggml.tokens"));
  const Document document(headers);
  CHECK(document.at("/valid") == "false");
  CHECK(document.at("/defects_found") == "3");
  CHECK(document.at("/defects/0/code") != "(absent)");
  CHECK(document.at("/keys/general.name") == "\"A tiny one\"");
}

TEST_CASE("inspect: findings beyond the limit are counted") {
  GgufBuilder file = small_file();
  for (int i = 0; i < 100; ++i) file.add("k", std::uint32_t{1});
  const ModelHeaders headers = headers_of(file);
  const std::string text = inspect_text(headers, false, plain);
  CHECK(contains(text, "\n  and 35 more\n"));
  CHECK(contains(text, "\ninvalid: 99 defects\n"));
  CHECK(Document(headers).at("/defects_found") == "99");
}

TEST_CASE("inspect: what is no GGUF at all has no numbers") {
  ModelHeaders headers = headers_of(small_file().magic("<htm"));
  CHECK(contains(inspect_text(headers, true, plain), "  no GGUF header, 7.2 KiB\n"));
  const Document document(headers);
  for (const char* pointer :
       {"/version", "/architecture", "/name", "/parameters", "/bits_per_weight", "/data_offset"})
    CHECK(document.at(pointer) == "null");
  CHECK(document.at("/keys") == "{}");
  CHECK(document.at("/defects/0/code") == "\"bad_magic\"");
}

TEST_CASE("inspect: a tensor of a type that is gone or unknown leaves the sums unknown") {
  GgufBuilder file = small_file();
  file.raw_tensor("old.weight", 1, {32}, 4, file.data_bytes());
  const ModelHeaders headers = headers_of(file);
  const InspectFacts facts = facts_of(headers);
  CHECK(facts.parameters == 6464U + 32);
  CHECK_FALSE(facts.bits_per_weight);
  CHECK(facts.types.at("q4_2").tensors == 1);
  CHECK(Document(headers).at("/bits_per_weight") == "null");
  GgufBuilder other = small_file();
  other.raw_tensor("new.weight", 1, {32}, 77, other.data_bytes());
  CHECK(facts_of(headers_of(other)).types.contains("type 77"));
}

TEST_CASE("inspect: a size that nobody tells is unknown") {
  ModelHeaders headers = headers_of(small_file());
  headers.files[0].file_bytes.reset();
  CHECK(contains(inspect_text(headers, false, plain), "of unknown size"));
  CHECK(Document(headers).at("/file_bytes") == "null");
}

TEST_CASE("inspect: a split model is all of its files") {
  const ModelHeaders headers = two_shards();
  const std::string text = inspect_text(headers, true, plain);
  CHECK(contains(text, "/m-00001-of-00002.gguf\n"));
  CHECK(contains(text, "/m-00002-of-00002.gguf\n"));
  CHECK(contains(text, "Tensors (2, 256 B)"));
  CHECK(contains(text, "b.weight"));
  CHECK(contains(text, "valid: no defect was found"));
  const Document document(headers);
  CHECK(document.at("/parameters") == "128");
  CHECK(document.at("/tensors/1/shard") == "2");
  CHECK(document.at("/shards/1/path") == "\"/m-00002-of-00002.gguf\"");
  CHECK(document.at("/missing") == "[]");
}

TEST_CASE("inspect: shards that do not belong together are a defect") {
  const ModelHeaders headers = two_shards(0);
  CHECK_FALSE(headers.is_sound());
  CHECK(contains(inspect_text(headers, false, plain), "bad_split  shard 2"));
  CHECK(Document(headers).at("/valid") == "false");
}

TEST_CASE("inspect: a missing shard is told and no total is claimed") {
  ModelHeaders headers = two_shards();
  headers.files.pop_back();
  headers.missing = {"/m-00002-of-00002.gguf"};
  const std::string text = inspect_text(headers, false, plain);
  CHECK(contains(text, "/m-00002-of-00002.gguf: missing\n"));
  CHECK(contains(text, "not whole: no defect was found"));
  const Document document(headers);
  CHECK(document.at("/valid") == "false");
  CHECK(document.at("/parameters") == "null");
  CHECK(document.at("/missing/0") == "\"/m-00002-of-00002.gguf\"");
}

TEST_CASE("inspect: no line is wider than the terminal") {
  GgufBuilder file = llama_model({.name = std::string(300, 'n')});
  file.add("general.name", "again")
      .add("a.key.with.a.long.name.日本語", "値が長い文字列です値が長い文字列です");
  ModelHeaders headers = headers_of(file);
  headers.files[0].path = "/a/very/long/folder/that/goes/on/and/on/for/ever/and/ever/until/it/ends/m.gguf";
  for (const std::size_t columns : {20U, 33U, 80U, 200U}) {
    for (const bool is_utf8 : {false, true}) {
      const Terminal terminal{.columns = columns, .rows = 24, .style = {.utf8 = is_utf8}};
      for (const std::string& line : lines_of(inspect_text(headers, true, terminal))) {
        CAPTURE(line);
        CHECK(columns_of(line) <= columns);
      }
    }
  }
}

TEST_CASE("inspect: colour only where there is some, and never from the file") {
  GgufBuilder file = small_file();
  file.add("evil\x1b[31m", "\x1b]0;title\x07");
  const ModelHeaders headers = headers_of(file);
  CHECK_FALSE(contains(inspect_text(headers, true, plain), "\x1b"));
  const Terminal colourful{.is_live = true, .columns = 80, .rows = 24, .style = {.colour = true}};
  const std::string text = inspect_text(headers, true, colourful);
  CHECK(contains(text, "\x1b[31minvalid"));
  CHECK_FALSE(contains(text, "\x1b]0"));
  CHECK_FALSE(contains(inspect_json(headers), "\x1b"));
}

TEST_CASE("inspect: counts as people say them") {
  CHECK(human_count(0) == "0");
  CHECK(human_count(999) == "999");
  CHECK(human_count(1000) == "1.00 K");
  CHECK(human_count(270'000'000) == "270 M");
  CHECK(human_count(4'022'468'096) == "4.02 B");
  CHECK(human_count(26'800'000'000) == "26.8 B");
  CHECK(human_count(999'600'000) == "1.00 B");
  CHECK(human_count(1'040'000'000'000) == "1.04 T");
}

}  // namespace ggufd::ctl
